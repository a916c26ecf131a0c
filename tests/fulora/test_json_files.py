"""JSON is read in one way, and every error says where."""

from pathlib import Path

import pytest

from fulora.config import Config
from fulora.json_files import DamagedFileError, parse_json, read_json, read_json_lines


class Point(Config):
    x: int
    y: float = 0.0


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"a\.json: is damaged.*Invalid JSON: EOF"),
        (b'{"x": 1', r"a\.json: is damaged.*Invalid JSON.*line 1 column"),
        (b'\xff{"x": 1}', r"a\.json: is damaged.*Invalid JSON"),
        (b'{"x": "\xff"}', r"a\.json: is damaged.*Invalid JSON"),
        (b"[]", r"a\.json: is damaged.*Input should be an object"),
        (b"{}", r"a\.json: is damaged.*\(x: Field required\)"),
        (
            b'{"x": 1, "x": 2}',
            r"a\.json: is damaged.*\(the key 'x' is given more than once; leave the one that counts\)$",
        ),
        (b'{"x": 1, "y": "a", "z": 2}', r"\(y: Input should be a valid number.*; z: Extra inputs are not permitted\)$"),
    ],
)
def test_a_damaged_file_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=message) as told:
        read_json(tmp_path / "a.json", Point)
    assert "\n" not in str(told.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(DamagedFileError, match=r"gone\.json: cannot be read \(No such file or directory\)"):
        read_json(tmp_path / "gone.json", Point)


def test_lines_come_back_and_a_damaged_one_is_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_bytes(b'{"x": 1}\n{"x": 2, "y": 0.5}\n')
    assert read_json_lines(path, Point) == [Point(x=1), Point(x=2, y=0.5)]
    path.write_bytes(b'{"x": 1}\n{"x": 2, "y"')
    with pytest.raises(DamagedFileError, match=r"a\.jsonl, line 2: is damaged.*Invalid JSON"):
        read_json_lines(path, Point)
    path.write_bytes(b'{"x": 1}\n\n{"x": 2}\n')
    with pytest.raises(DamagedFileError, match=r"a\.jsonl, line 2: is damaged"):
        read_json_lines(path, Point)
    path.write_bytes(b"")
    assert read_json_lines(path, Point) == []


def test_a_line_separator_in_a_text_does_not_end_a_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes('["a\u2028b\x85c"]\n'.encode())
    assert read_json_lines(tmp_path / "a.jsonl", list[str]) == [["a\u2028b\x85c"]]


def test_a_nested_duplicate_key_is_named_with_its_line(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_bytes(b'{"a": {"b": 1}}\n{"a": {"b": 1, "c": 3, "b": 2}}\n')
    with pytest.raises(DamagedFileError, match=r"a\.jsonl, line 2: is damaged.*the key 'b' is given more than once"):
        read_json_lines(tmp_path / "a.jsonl", dict[str, dict[str, int]])
    assert parse_json('{"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}]}') == {"a": {"b": 1}, "b": [{"a": 1}, {"a": 2}]}
