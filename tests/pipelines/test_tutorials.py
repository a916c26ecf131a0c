"""The tutorials of `docs/` are executed as they stand: commands, Python, and the output that they show.

Blocks with a title, such as `bash title="on a cluster"`, cannot run here: their commands must parse.
"""

import contextlib
import io
import re
import shlex
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import typer
from command_inside import called

from pipelines.__main__ import app

DOCS = Path(__file__).parents[2] / "docs"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
KEPT = re.compile(r"^(\w+)=\$\((.*)\)$")
NUMBER = re.compile(r"[0-9a-f]{16}|-?\d[\d.,]*")
"""What may be another in another run: digests of artifacts, numbers."""


@dataclass
class Reader:
    """Somebody who types every command of a page, in one folder.

    Attributes:
        kept: the variables of the shell.
        seen: what was printed since the last block that shows output.
    """

    kept: dict[str, str] = field(default_factory=dict)
    names: dict[str, Any] = field(default_factory=dict)
    seen: str = ""

    def bash(self, text: str) -> None:
        for line in text.replace("\\\n", " ").splitlines():
            if line.strip() and not line.startswith("#"):
                self._type(line)

    def _type(self, line: str) -> None:
        for name, value in self.kept.items():
            line = line.replace(f"${name}", value)
        name, command = match.groups() if (match := KEPT.match(line)) else ("", line)
        if command.startswith("fulora "):
            ended = called(*shlex.split(command, comments=True)[1:])
            assert ended.code == 0, f"{command}: {ended.stderr}"
            printed = ended.stdout
            self.seen += ended.stdout + ended.stderr
        else:
            printed = subprocess.run(["bash", "-ec", command], capture_output=True, text=True, check=True).stdout
            self.seen += printed
        if name:
            self.kept[name] = printed.strip().splitlines()[-1]

    def python(self, text: str) -> None:
        self.names.update(self.kept)
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(text, "tutorial", "exec"), self.names)
        self.seen += printed.getvalue()

    def text(self, text: str) -> None:
        """Compare the lines that are shown with those that were printed, but for numbers; `...` leaves lines out."""
        printed = [masked(line) for line in self.seen.splitlines()]
        for line in map(masked, text.splitlines()):
            assert line in ("", "...", *printed), f"{line!r} was not printed:\n{self.seen}"
        self.seen = ""


def masked(line: str) -> str:
    return " ".join(NUMBER.sub("#", line).split())


def parse(text: str) -> None:
    for line in text.replace("\\\n", " ").splitlines():
        if (start := line.find("fulora ")) >= 0 and not line.lstrip().startswith("#"):
            words = shlex.split(line[start:], comments=True)[1:]
            command: Any = typer.main.get_command(app)
            while hasattr(command, "commands"):
                command = command.commands[words.pop(0)]
            command.make_context("tutorial", words)  # raises if it does not


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [pytest.param("phantoms", marks=pytest.mark.heavy), "hybrid", "zero_shot", "segmentation", "cluster", "offline"],
)
def test_a_tutorial_does_what_it_says(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "160")
    reader = Reader()
    blocks = BLOCK.findall((DOCS / "tutorials" / f"{name}.md").read_text(encoding="utf-8"))
    assert blocks
    for language, title, text in blocks:
        if not title.strip():
            getattr(reader, language)(text)
        elif language == "bash":
            parse(text)


def test_output_that_was_not_printed_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    reader = Reader()
    reader.bash("folder=$(echo made; echo planes)\nmkdir $folder\nls")
    reader.text("planes\n")
    reader.python("print(3 * 4, 'images')")
    with pytest.raises(AssertionError, match="'# pictures' was not printed"):
        reader.text("12 pictures\n")
    with pytest.raises(Exception, match="No such option"):
        parse("srun fulora generate --cuont 3")
