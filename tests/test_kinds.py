"""`tests/KINDS.md` names the test that holds each kind of bad input: every one of them is there."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
LINES = [line for line in (ROOT / "tests" / "KINDS.md").read_text(encoding="utf-8").splitlines() if line[:2] == "- "]
CASES = ROOT.parent / "shared" / "cases"


def names_in(path: Path) -> set[str]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_there_are_kinds() -> None:
    assert len(LINES) >= 12
    assert len({line.split(" | ")[0] for line in LINES}) == len(LINES), "a kind is listed twice"


def test_a_kind_names_a_test_that_exists() -> None:
    """Every line has the form `- kind | tests/file.py::test_name`."""
    form = re.compile(r"- (?P<kind>.+) \| (?P<file>tests/[\w/]+\.py)::(?P<test>test_\w+)")
    lines = {line: form.fullmatch(line) for line in LINES}
    assert all(lines.values()), [line for line, match in lines.items() if not match]
    named = {line: (match["file"], match["test"]) for line, match in lines.items() if match}
    there = {file: names_in(ROOT / file) for file, _ in named.values()}
    assert not [line for line, (file, test) in named.items() if test not in there[file]]


@pytest.mark.real_data
def test_every_folder_of_faulty_inputs_has_a_test() -> None:
    if not CASES.is_dir():
        pytest.skip("no faulty inputs: ../shared/cases is not there")
    numbers = sorted(folder.name.split("-")[0] for folder in CASES.iterdir() if folder.is_dir())
    assert numbers
    tested = {path.name.split("_")[2] for path in (ROOT / "tests" / "cases").glob("test_case_*.py")}
    assert set(numbers) <= tested
