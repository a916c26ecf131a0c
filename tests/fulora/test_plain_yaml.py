"""Hostile configs: each is one error with file and line, at once, whatever is written."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Literal

import pytest
from pydantic import Field, ValidationError

from fulora.config import LARGEST, Config, ConfigError, overridden, part, read_yaml, validated
from fulora.plain_yaml import MAX_CHARACTERS, MAX_DEPTH, MAX_VALUES, MAX_WHOLE, PlainYamlError, load_yaml


def bomb(levels: int) -> str:
    """10 to the power of `levels` values in a few lines."""
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, levels)]
    return "\n".join(lines) + "\n"


def chain(levels: int) -> str:
    """Few values, nested as deep as there are lines."""
    return "a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, levels))


HOSTILE = [
    ("bomb", bomb(9), rf"line \d+, column \d+: more than {MAX_VALUES:,} values, or nested deeper than {MAX_DEPTH}"),
    ("bomb of mappings", bomb(9).replace("[x,", "[{a: b},"), "values, or nested deeper"),
    ("bomb in merge keys", "a: &a {x: 1}\nb: {<<: [" + "*a," * 60_000 + "]}\n", "more than 50,000 values"),
    ("alias of itself", "a: &a [*a]\n", r"line 1, column 4: more than .* values, or nested deeper than"),
    ("chain of aliases", chain(60), "nested deeper than 40"),
    ("brackets", "a: " + "[" * 100_000, r"line 1, column 43: nested deeper than 40"),
    ("closed brackets", "a: " + "[" * 5000 + "]" * 5000, "nested deeper than 40"),
    ("braces", "{a: " * 50_000, "nested deeper than 40"),
    ("indentation", "".join(" " * n + "a:\n" for n in range(300)), "line 40, column 40: nested deeper than 40"),
    ("dashes", "- " * 50_000, "nested deeper than 40"),
    ("nan", "a: 1\nb: .nan\n", r"line 2, column 4: \.nan is not a finite number"),
    ("infinity", "b: [1, -.inf]\n", r"line 1, column 8: -\.inf is not a finite number"),
    ("huge float", "b: 1.0e+400\n", r"line 1, column 4: 1\.0e\+400 is not a finite number"),
    ("huge whole number", f"a: {MAX_WHOLE}\n", "18446744073709551616 is too large; whole numbers have at most 64 bits"),
    ("9,999 digits", "a: " + "9" * 9_999, r"line 1, column 4: '9{40}' cannot be read \(Exceeds the limit"),
    ("duplicate key", "a: 1\nb: {c: 1, c: 2}\n", "line 2, column 11: the key 'c' is given more than once"),
    ("many keys", "".join(f"k{n}: 0\n" for n in range(9_999)) + "k0: 1\n", "line 10000, column 1: the key 'k0' is"),
    ("number as key", "a: {1: x}\n", "line 1, column 5: the key '1' is no text; keys are texts, so quote it"),
    ("word as key", "on: x\n", "the key 'on' is no text"),
    ("null as key", "~: x\n", "the key '~' is no text"),
    ("list as key", "? [a, b]\n: c\n", "line 1, column 3: the key a list or mapping is no text"),
    ("tab", "a:\n\tb: 1\n", r"line 2, column 1: found character '\\t' that cannot start any token"),
    ("two documents", "a: 1\n---\nb: 1\n", "line 2, column 1: but found another document"),
    ("unknown alias", "a: *b\n", "line 1, column 4: found undefined alias 'b'"),
    ("python object", "a: !!python/object/apply:os.system [ls]\n", "could not determine a constructor"),
    ("impossible date", "a: 2026-13-45\n", r"line 1, column 4: '2026-13-45' cannot be read \(month must be in 1\.\.12"),
    ("no whole number", "a: !!int x\n", "line 1, column 4: 'x' cannot be read"),
    ("no time", "a: !!timestamp x\n", "line 1, column 4: 'x' cannot be read"),
    ("base 8", "a: !!int 010\n", "line 1, column 4: '010' is a number to base 8 or 60; write it to base 10"),
    ("base 60", "a: !!float 1:30.5\n", "line 1, column 4: '1:30.5' is a number to base 8 or 60"),
    ("half a character", 'a: "\\ud800"\n', "line 1, column 4: .* holds NUL or half a character"),
    ("nul in a text", 'a: "b\\0"\n', "line 1, column 4: .* holds NUL or half a character"),
    ("nul", "a: b\0\n", "special characters are not allowed"),
    ("escape", "a: \x1b[31m\n", "special characters are not allowed"),
    ("long", "a: " + "x" * MAX_CHARACTERS, r"200,003 characters; allowed are 200,000"),
]


@pytest.mark.slow
@pytest.mark.parametrize(("text", "message"), [row[1:] for row in HOSTILE], ids=[row[0] for row in HOSTILE])
def test_a_hostile_config_is_one_error_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text, encoding="utf-8")
    begun = time.perf_counter()
    with pytest.raises(ConfigError, match=rf"x\.yaml: not valid YAML: .*{message}") as raised:
        read_yaml(path)
    assert time.perf_counter() - begun < 10  # a bomb would take days
    assert len(str(raised.value).splitlines()) == 1
    assert len(str(raised.value)) < 500
    assert "\x1b" not in str(raised.value)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a: 1\nb: \xe9\n", "line 2: byte 0xe9 is not UTF-8; save it as UTF-8"),
        ("a: 1\n".encode("utf-16"), "line 1: byte 0xff is not UTF-8"),
        (b"a" * (4 * MAX_CHARACTERS + 1), "800,001 bytes; no config has more than 200,000 characters"),
    ],
)
def test_bytes_that_are_no_config(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "x.yaml").write_bytes(content)
    with pytest.raises(ConfigError, match=rf"x\.yaml: .*{message}"):
        read_yaml(tmp_path / "x.yaml")


def test_what_is_no_regular_file_is_not_read(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.yaml")  # reading it would wait forever
    for path in (tmp_path, tmp_path / "pipe.yaml", Path("/dev/zero")):
        with pytest.raises(ConfigError, match=r"cannot be read \(not a file\)"):
            read_yaml(path)


@pytest.mark.parametrize("base", ["[a, b]", "{a: b}", "3", '"a\\eb"', '"a\\nb"'])
def test_a_base_that_is_no_name(tmp_path: Path, base: str) -> None:
    (tmp_path / "x.yaml").write_text(f"base: {base}\n")
    with pytest.raises(ConfigError, match=r"x\.yaml: base is .*; it must be the name of one config or file"):
        read_yaml(tmp_path / "x.yaml")


def test_what_people_write_is_read() -> None:
    text = 'a: &here {b: [1, 2.5, true, null], "on": x}\nc: *here\nd: {<<: *here, b: 0}\ntext: "one\\ntwo"\n'
    here = {"b": [1, 2.5, True, None], "on": "x"}
    assert load_yaml(text) == {"a": here, "c": here, "d": {"b": 0, "on": "x"}, "text": "one\ntwo"}
    assert load_yaml("\ufeffa: 1") == {"a": 1}
    assert load_yaml(f"a: {MAX_WHOLE - 1}") == {"a": MAX_WHOLE - 1}
    assert load_yaml("[" * MAX_DEPTH + "]" * MAX_DEPTH)
    assert load_yaml("") is None


def test_errors_that_quotes_would_solve_are_distinguished_from_limits() -> None:
    with pytest.raises(PlainYamlError) as raised:
        load_yaml("[a]b")
    assert raised.value.quotable
    with pytest.raises(PlainYamlError, match="not a finite number") as raised:
        load_yaml(".nan")
    assert not raised.value.quotable


# --- overrides


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("x=" + "[" * 100_000, r"^x=\[{198}\.\.\.: the value after '=' is not valid YAML; line 1, column 41: nested"),
        ("x=.inf", r"^x=\.inf: .*\.inf is not a finite number"),
        ("x={a: 1, a: 2}", "the key 'a' is given more than once"),
        ("x={1: 2}", "the key '1' is no text"),
        ("x=&a [*a]", "nested deeper"),
        ("x=" + "9" * 5000, "cannot be read"),
        ("a." * 1000 + "b=1", r"^(a\.)+\.*: an override has the form key\.sub=value"),
        ("a..b=1", "an override has the form"),
        (".=1", "an override has the form"),
    ],
    ids=["brackets", "infinity", "twice", "key", "alias", "digits", "deep key", "empty key", "dot"],
)
def test_a_hostile_override_is_one_error(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as raised:
        overridden({}, [override])
    assert len(str(raised.value)) < 500


class Job(Config):
    steps: int = 1
    size_px: int = 1
    lora_rank: int = 1
    batch_size: int = 1
    seed: int = 0
    rate: float = Field(default=0.1, gt=0)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("steps=1000000001", "steps is 1000000001; the largest possible is 1,000,000,000"),
        ("size_px=16385", "size_px is 16385; the largest possible is 16,384"),
        ("lora_rank=4097", "lora_rank is 4097; the largest possible is 4,096"),
        ("batch_size=65537", "batch_size is 65537; the largest possible is 65,536"),
        ("rate=1e308", r"rate is 1e\+308; the largest possible is 1e\+15"),
        ("rate=1e400", r"rate: Input should be a finite number \(given: '1e400'\)"),
        ("rate=nan", r"rate: Input should be a finite number \(given: 'nan'\)"),
        ("steps=1e400", r"steps: Input should be a valid integer.*given: '1e400'"),
        ("steps=" + "x" * 10_000, r"steps: Input should be a valid integer.*given: 'x{199}\.\.\.\)"),
    ],
)
def test_numbers_that_no_run_survives(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=rf"job: 1 error\n  .*{message}"):
        validated(Job, overridden({}, [override]), where="job")


class Mixed(Config):
    """Fields of every shape that a number stands in."""

    steps: int = 1
    rate: float = 0.1
    strength: float | Job = 1.0
    seeds: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None
    ratio: float | dict[str, float] = 0.0
    size: int | Literal["auto"] = "auto"
    word: str | int = ""
    sites: tuple[str, ...] = ()
    jobs: tuple[Job, ...] = ()
    balanced: bool | None = None
    anything: Any = None


@pytest.mark.parametrize("word", ["true", "false", "yes", "no", "on", "off", "True"])
@pytest.mark.parametrize(
    "field",
    [
        *("steps", "rate", "strength", "strength.steps", "ratio", "ratio.brain", "interval", "size", "word"),
        *("seeds=[{}]", "seeds=[0, {}]", "interval=[0, {}]", "sites=[{}]", "jobs=[{{steps: {}}}]"),
    ],
)
def test_true_and_false_are_no_numbers_and_no_texts(field: str, word: str) -> None:
    override = field.format(word) if "=" in field else f"{field}={word}"
    right = word.lower() in ("true", "yes", "on")
    with pytest.raises(ConfigError, match=rf"  {field.partition('=')[0].split('.')[0]}.*\(given: {right}\)"):
        validated(Mixed, overridden({}, [override]), where="mixed")


def test_booleans_are_read_in_boolean_fields_and_integers_in_float_fields() -> None:
    found = validated(Mixed, overridden({}, ["balanced=no", "anything=[on]", "rate=1", "ratio.brain=2"]), where="mixed")
    assert found.balanced is False
    assert found.anything == [True]
    assert (found.rate, found.ratio) == (1.0, {"brain": 2.0})


@pytest.mark.parametrize("json", ['{"steps": true}', '{"jobs": [{"rate": false}]}'])
def test_true_and_false_are_no_numbers_in_json(json: str) -> None:
    with pytest.raises(ValidationError, match="Input should be a valid"):
        Mixed.model_validate_json(json)


@pytest.mark.parametrize(("written", "number"), [("010", 10), ("-010", -10), ("08", 8), ("0x10", 16), ("1_000", 1000)])
def test_a_number_is_what_is_written(written: str, number: int) -> None:
    assert validated(Mixed, overridden({}, [f"steps={written}"]), where="mixed").steps == number
    assert validated(Mixed, load_yaml(f"rate: {written}"), where="mixed").rate == number


@pytest.mark.parametrize("written", ["1:30", "-1:30", "1:30.5", "190:20:30", "0:30"])
def test_a_number_to_base_60_is_none(written: str) -> None:
    for field in ("steps", "rate"):
        with pytest.raises(ConfigError, match=rf"{field}: Input should be a valid .*\(given: '{written}'\)"):
            validated(Mixed, overridden({}, [f"{field}={written}"]), where="mixed")


@pytest.mark.parametrize("written", ["010", "007", "1:30", "12:30:45.6"])
def test_a_text_of_digits_stays_as_it_is_written(written: str) -> None:
    assert validated(Mixed, load_yaml(f"sites: [{written}]"), where="mixed").sites == (written,)


def test_the_largest_numbers_are_allowed() -> None:
    values = {"steps": 10**9, "size_px": 16_384, "lora_rank": 4_096, "batch_size": 65_536, "seed": LARGEST["seed"]}
    assert Job(**values).model_dump() == {**values, "rate": 0.1}


def test_many_errors_are_counted_and_not_all_listed() -> None:
    values = {f"wrong_{number}": 0 for number in range(1000)}
    with pytest.raises(ConfigError, match=r"(?s)^job: 1000 errors\n.*\n  \.\.\. and 950 more$") as raised:
        validated(Job, values, where="job")
    assert len(str(raised.value).splitlines()) == 52


def test_a_part_of_a_config_is_a_mapping() -> None:
    assert part({"lora": {"rank": 4}}, "lora", where="x.yaml") == {"rank": 4}
    assert part({}, "lora", where="x.yaml") == {}
    with pytest.raises(ConfigError, match=r"x\.yaml: lora is 3; it must be a mapping of keys to values"):
        part({"lora": 3}, "lora", where="x.yaml")


@pytest.fixture
def command() -> Callable[..., object]:
    from pipelines.configs import load

    return load


@pytest.mark.parametrize("study", ["[a]", "{a: b}", "3", "null", "nobody"])
def test_a_study_that_is_no_name(tmp_path: Path, command: Callable[..., object], study: str) -> None:
    (tmp_path / "x.yaml").write_text(f"study: {study}\n")
    with pytest.raises(ConfigError, match=r"x\.yaml: study: must be one of fu_lora, "):
        command(str(tmp_path / "x.yaml"))


@pytest.mark.parametrize("ratio", [1e6 + 1, -0.1, {"brain": 1e308}])
def test_a_ratio_that_no_set_has(ratio: object) -> None:
    from fulora.data.hybrid import MixConfig

    with pytest.raises(ConfigError, match=r"it is 0 or more added images per real one, at most 1,000,000|largest"):
        validated(MixConfig, {"arm": "hybrid", "ratio": ratio}, where="mix")
