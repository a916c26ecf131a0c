"""The documentation: every command, setting, config and link in it exists, and the README is short."""

import os
import re
import shlex
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from html.parser import HTMLParser
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import unquote

import pytest
import typer
import yaml

from fulora.config import validated
from fulora.intake.config import CurateConfig
from pipelines.__main__ import app
from pipelines.configs import STUDIES, load

ROOT = Path(__file__).parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [ROOT / "README.md", *(ROOT / name / "README.md" for name in ("configs", "fulora", "pipelines")), *PAGES]
FENCE = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```", re.MULTILINE | re.DOTALL)
ENDS = {">", ">>", "|", "&", "&&", "||", ";", "2>"}


class Block(NamedTuple):
    """A fenced block of a file, and its language, which may be empty."""

    file: str
    language: str
    text: str


def blocks(language: str | None = None) -> list[Block]:
    """Every fenced block of the documentation, or those of a language."""
    found = []
    for path in TEXTS:
        for _, tongue, text in FENCE.findall(path.read_text(encoding="utf-8")):
            if language in (None, tongue):
                found.append(Block(path.relative_to(ROOT).as_posix(), tongue, textwrap.dedent(text)))
    return found


# --- commands


def complete(lines: Iterator[str], first: str) -> str:
    """A command of several lines as one: until no `\\` is at its end, and all quotes are closed."""
    text = first
    while True:
        if text.endswith("\\"):
            text = text[:-1] + next(lines).strip()
            continue
        try:
            shlex.split(text, comments=True)
        except ValueError:
            text += next(lines).strip()
            continue
        return text


def fulora_commands() -> list[tuple[str, str]]:
    """Every command line of fulora in fenced blocks and in code between backticks, by its file."""
    found = []
    for block in blocks():
        if block.language in ("", "sh", "bash"):
            lines = iter(block.text.splitlines())
            for line in lines:
                if command := re.match(r"\s*(?:\$ )?(?:[A-Z_]+=\S+ )*(fulora .*)|.* -m pipelines (.*)", line):
                    found.append((block.file, complete(lines, command[1] or f"fulora {command[2]}")))
    for path in TEXTS:
        prose = FENCE.sub("", path.read_text(encoding="utf-8"))
        inline = re.findall(r"(?<!`)`(fulora [^`]+)`", prose)
        found += [(path.relative_to(ROOT).as_posix(), " ".join(text.split())) for text in inline]
    return found


def fault(line: str) -> str:
    """What is wrong with a command line of fulora; empty if its command, options and number of arguments exist."""
    words = shlex.split(line, comments=True)[1:]
    words = words[: next((n for n, word in enumerate(words) if word in ENDS), len(words))]
    command: Any = typer.main.get_command(app)
    while hasattr(command, "commands") and words and not words[0].startswith("-"):
        if words[0] not in command.commands:
            return f"no command {words[0]}"
        command = command.commands[words.pop(0)]
    if hasattr(command, "commands"):  # a group by itself, or an option of fulora
        return "" if set(words) <= {"--help", "--version", "--install-completion", "-h"} else f"no option {words}"
    context = command.context_class(command, info_name=command.name)
    try:
        _, left, _ = command.make_parser(context).parse_args(words)
    except Exception as error:
        return str(error) or type(error).__name__
    return f"too many arguments: {left}" if left else ""


def test_a_wrong_command_is_found() -> None:
    assert not fault("fulora generate sampler=ddim --count 3 --out x  # a comment")
    assert not fault("fulora configs demo > mine.yaml")
    assert not fault("fulora data")
    assert "gen" in fault("fulora gen --count 3")
    assert "--cuont" in fault("fulora generate --cuont 3")
    assert fault("fulora lora inspect one.safetensors two.safetensors")
    assert fault("fulora generate --count")


def test_commands_of_several_lines_are_read_as_one() -> None:
    lines = iter(["--count 3 --out 'a", "b'", "next"])
    assert complete(lines, "fulora generate \\") == "fulora generate --count 3 --out 'ab'"
    assert next(lines) == "next"


def test_every_command_exists() -> None:
    found = fulora_commands()
    assert len(found) > 100
    assert not [f"{file}: {line}: {wrong}" for file, line in found if (wrong := fault(line))]


# --- configs and Python


def check_config(text: str, folder: Path) -> None:
    """Validate a block of YAML: a whole config, settings of a curation, or settings of a study laid over `demo`."""
    values = yaml.safe_load(text)
    assert isinstance(values, dict), "no settings"
    if set(values) <= set(CurateConfig.model_fields):
        validated(CurateConfig, values, where="block")
        return
    study = values.get("study", "fu_lora")
    assert set(values) <= {"study", "base", *STUDIES[study].config.model_fields}, "no config has these keys"
    if "study" not in values:
        text = f"base: demo\n{text}"
    (folder / "block.yaml").write_text(text, encoding="utf-8")
    load(str(folder / "block.yaml"))


def test_a_wrong_config_is_found(tmp_path: Path) -> None:
    check_config("lora: {rank: 4}", tmp_path)
    with pytest.raises(ValueError, match="rnak"):
        check_config("lora: {rnak: 4}", tmp_path)
    with pytest.raises(ValueError, match="knid"):
        check_config("sources: [{knid: phantoms}]", tmp_path)
    with pytest.raises(AssertionError):
        check_config("loras: {rank: 4}", tmp_path)


@pytest.mark.parametrize("block", blocks("yaml"), ids=lambda block: block.file)
def test_every_yaml_block_is_a_valid_config(block: Block, tmp_path: Path) -> None:
    check_config(block.text, tmp_path)


@pytest.mark.parametrize("block", blocks("python"), ids=lambda block: block.file)
def test_every_python_block_compiles(block: Block) -> None:
    compile(block.text, block.file, "exec")


# --- the README and the pages


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").split()) <= 1000


def nav_pages(nav: Any) -> Iterator[str]:
    """The pages of a navigation, in their order."""
    if isinstance(nav, str):
        yield nav
    else:
        for part in nav.values() if isinstance(nav, dict) else nav:
            yield from nav_pages(part)


def test_every_page_is_in_the_navigation() -> None:
    listed = list(nav_pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text(encoding="utf-8"))["nav"]))
    assert len(listed) == len(set(listed))
    written = {path.relative_to(ROOT / "docs").as_posix() for path in PAGES}
    assert written <= set(listed)
    made = set(listed) - written
    assert made, "no page is made from the code"
    assert all(name.startswith("reference/") or name in ("decisions.md", "changelog.md") for name in made)


def test_every_term_of_the_glossary_is_defined_once() -> None:
    text = (ROOT / "docs" / "concepts" / "glossary.md").read_text(encoding="utf-8")
    terms = [term for line in re.findall(r"^\*\*(.+)\*\*$", text, re.MULTILINE) for term in line.split(", ")]
    assert {"arm", "contrast", "phantom", "judge"} <= set(terms)
    assert len(terms) == len(set(terms))
    assert [term.lower() for term in terms] == sorted(term.lower() for term in terms)


class Links(HTMLParser):
    """Links, anchors, and files that a page loads."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Note what a tag links to, loads, and is named."""
        values = {name: value for name, value in attrs if value}
        self.anchors |= {values["id"]} if "id" in values else set()
        if tag == "a" and "href" in values:
            self.links.append(values["href"])
        if tag == "link" and values.get("rel") != "canonical" and "href" in values:
            self.loaded.append(values["href"])
        if "src" in values:
            self.loaded.append(values["src"])


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, built as `make docs` does."""
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(out)]
    environment = os.environ | {"NO_MKDOCS_2_WARNING": "1"}
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stdout + done.stderr
    return out


@pytest.mark.slow
def test_every_link_of_the_site_leads_somewhere_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {path: Links(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 40
    lost, foreign = [], []
    for path, page in pages.items():
        if path.name == "404.html":  # served from any place: its links are those of a server
            continue
        foreign += [f"{path.name}: {link}" for link in page.loaded if re.match(r"(https?:)?//", link)]
        for link in (*page.links, *page.loaded):
            place, _, anchor = unquote(link).partition("#")
            if re.match(r"[a-z]+:|//", link) or not (place or anchor):
                continue
            target = (path.parent / place.partition("?")[0]).resolve() if place else path
            target = target / "index.html" if target.is_dir() else target
            if not target.is_file() or (anchor and target in pages and anchor not in pages[target].anchors):
                lost.append(f"{path.relative_to(site)}: {link}")
    assert not foreign
    assert not lost
    assert (site / "search" / "search_index.js").is_file()  # the search works from the disk


@pytest.mark.slow
def test_the_reference_has_every_command_and_setting(site: Path) -> None:
    commands = (site / "reference" / "commands.html").read_text(encoding="utf-8")
    settings = (site / "reference" / "settings.html").read_text(encoding="utf-8")
    assert "fulora lora train" in commands
    assert "--dry-run" in commands
    assert "<code>learning_rate</code>" in settings
