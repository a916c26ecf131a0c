"""What MkDocs adds to the pages of `docs/` while it builds: pages made from the code, and sections of the READMEs.

A page takes a section of a README by a line `<!-- pipelines/README.md: Hybrid sets -->`, and a whole README, without
its title, by `<!-- benchmarks/README.md -->`. Nothing that is made here is committed.
"""

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[1]
for folder in (ROOT, ROOT / "docs"):
    if str(folder) not in sys.path:
        sys.path.insert(0, str(folder))

import reference  # noqa: E402

INCLUDE = re.compile(r"^<!-- (\S+\.md)(?:: (.+?))? -->$", re.MULTILINE)
READMES = {
    "configs/README.md": "reference/configs.md",
    "benchmarks/README.md": "results/speed.md",
}
"""Where the site shows a README as a whole."""
DECISIONS = "Each decision, and why it was taken. They stand in the README of the folder that they are about.\n\n"


class SectionError(ValueError):
    """A section of a README that a page asks for and that is not there."""


def sections(text: str) -> dict[str, str]:
    """Return the sections of the second level of a Markdown text, by title."""
    parts = re.split(r"^## (.+)\n", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def read_part(name: str, title: str | None) -> str:
    """Return a README without its title, or one of its sections under its title.

    Raises:
        SectionError: if there is no such section.
    """
    text = (ROOT / name).read_text(encoding="utf-8")
    if title is None:
        return text.partition("\n")[2]
    found = sections(text)
    if title not in found:
        raise SectionError(f"{name} has no section {title!r}; it has {', '.join(found)}")
    return f"## {title}\n\n{found[title].strip()}\n"


def shell_blocks(text: str) -> str:
    """Return a text whose fenced blocks without a language are shell, as those of the READMEs are."""
    inside, lines = False, []
    for line in text.splitlines():
        if line.strip().startswith("```"):
            lines.append(line if inside or line.strip() != "```" else f"{line}sh")
            inside = not inside
        else:
            lines.append(line)
    return "\n".join(lines) + "\n"


def lists_apart(text: str) -> str:
    """Return a text with a blank line before each list, without which Python-Markdown sees no list."""
    inside, lines = False, [""]
    for line in text.splitlines():
        inside ^= line.strip().startswith("```")
        begins = re.match(r"(- |\d+\. )", line) and not re.match(r"(- |\d+\. |  )", lines[-1])
        lines += [""] if not inside and begins and lines[-1] else []
        lines.append(line)
    return "\n".join(lines[1:]) + "\n"


def linked(text: str, name: str, page: str) -> str:
    """Return a file's text with links as a page of the site gives them; what is no page is named, not linked."""
    up = "../" * page.count("/")

    def link(found: re.Match[str]) -> str:
        label, target = found[1], found[2]
        if "://" in target or target.startswith("#"):
            return found[0]
        file, _, anchor = target.partition("#")
        place = (ROOT / name).parent.joinpath(file).resolve().relative_to(ROOT).as_posix()
        if place.startswith("docs/") and name.startswith("docs/"):
            return found[0]
        if place.startswith("docs/"):
            return f"[{label}]({up}{place.removeprefix('docs/')}{'#' * bool(anchor)}{anchor})"
        return f"[{label}]({up}{READMES[place]})" if place in READMES else f"`{place}`"

    return re.sub(r"(?<!!)\[([^\]]+)\]\(([^)\s]+)\)", link, text)


def included(text: str, page: str) -> str:
    """Return a page's text with the sections of READMEs that it asks for."""

    def part(found: re.Match[str]) -> str:
        return linked(lists_apart(shell_blocks(read_part(found[1], found[2]))), found[1], page)

    return INCLUDE.sub(part, text)


def decisions() -> str:
    """Return the page of the decisions: those of every README that has some."""
    text = "# Decisions\n\n" + DECISIONS
    for path in sorted(ROOT.glob("*/README.md")):
        found = sections(path.read_text(encoding="utf-8"))
        if "Decisions" in found:
            text += f"## {path.parent.name}/\n\n{found['Decisions'].strip()}\n\n"
    return text


def pages() -> dict[str, str]:
    """Return every generated page by its path in the site."""
    return {
        **{f"reference/{name}.md": text for name, text in reference.pages().items()},
        "reference/configs.md": "# Configs and sources\n\n<!-- configs/README.md -->\n",
        "decisions.md": decisions(),
        "changelog.md": lists_apart((ROOT / "CHANGELOG.md").read_text(encoding="utf-8")),
    }


def on_files(files: Files, config: Any) -> Files:
    """Add the generated pages and the two pictures of the repository."""
    for name, text in pages().items():
        files.append(File.generated(config, name, content=text))
    for picture in ("planes.png", "gains.png"):
        place = str(ROOT / "fulora" / "assets" / picture)
        files.append(File.generated(config, f"assets/{picture}", abs_src_path=place))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Put sections of READMEs into a page, and name the files of the repository that it links to."""
    here = page.file.src_uri
    return included(linked(lists_apart(markdown), f"docs/{here}", here), here)
