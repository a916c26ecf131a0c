"""Configs: everything wrong is said at once, and only what changes a result is part of the identity."""

import hashlib
from pathlib import Path
from typing import Annotated, Literal

import pytest
from pydantic import Field, ValidationError

from fulora.config import (
    Config,
    ConfigError,
    Runtime,
    digest,
    identity,
    is_runtime,
    merged,
    overridden,
    read_yaml,
    validated,
)


class Round(Config):
    kind: Literal["round"] = "round"
    radius: float = 1.0


class Square(Config):
    kind: Literal["square"] = "square"
    side: float = 1.0


Shape = Annotated[Round | Square, Field(discriminator="kind")]


class Training(Config):
    learning_rate: float = Field(default=1e-3, gt=0)
    steps: int = 10
    device: Annotated[str, Runtime] = "auto"


class Whole(Config):
    name: str
    training: Training = Training()
    shapes: tuple[Shape, ...] = ()
    table: dict[str, Training] = Field(default_factory=dict)


def yaml_file(folder: Path, name: str, text: str) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def test_a_config_is_frozen_and_takes_no_nan() -> None:
    config = Training()
    with pytest.raises(ValidationError, match="frozen"):
        config.steps = 11  # type: ignore[misc]
    with pytest.raises(ValidationError, match="finite"):
        Training(learning_rate=float("nan"))
    with pytest.raises(ValidationError, match="finite"):
        Training(learning_rate=float("inf"))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"name": "x", "trainin": {}}, r"where: 1 error\n  trainin: unknown key; did you mean 'training'\?"),
        ({"name": "x", "training": {"stesp": 3}}, r"training\.stesp: unknown key; did you mean 'steps'\?"),
        (
            {"name": "x", "training": {"zzzzz": 3}},
            r"training\.zzzzz: unknown key; known keys: device, learning_rate, steps",
        ),
        (
            {"name": "x", "shapes": [{"kind": "round"}, {"kind": "square", "sied": 2}]},
            r"shapes\.1\.square\.sied: unknown key; did you mean 'side'\?",
        ),
        ({"name": "x", "table": {"a": {"steps": 1.5}}}, r"table\.a\.steps: Input should be a valid integer.*1\.5"),
        ({"training": {}}, "name: required, and not given"),
        (
            {"name": "x", "training": {"learning_rate": 0}},
            r"learning_rate: Input should be greater than 0 \(given: 0\)",
        ),
        ({"name": "x", "shapes": [{"kind": "oval"}]}, r"shapes\.0: .*'round', 'square'"),
    ],
)
def test_a_wrong_value_is_explained(values: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        validated(Whole, values, where="where")


def test_all_errors_come_at_once_each_with_its_path() -> None:
    values = {"nmae": "x", "training": {"steps": "many", "learning_rate": -1}}
    with pytest.raises(ConfigError, match=r"^file\.yaml: 4 errors\n") as raised:
        validated(Whole, values, where="file.yaml")
    lines = str(raised.value).splitlines()[1:]
    assert {line.strip().split(":")[0] for line in lines} == {
        "nmae",
        "name",
        "training.steps",
        "training.learning_rate",
    }


def test_a_base_is_merged_deeply_and_relative_to_its_file(tmp_path: Path) -> None:
    yaml_file(tmp_path, "lowest.yaml", "name: lowest\ntraining: {steps: 1, device: cpu}\nlist: [1, 2]\n")
    yaml_file(tmp_path, "low.yaml", "base: lowest.yaml\ntraining: {steps: 2}\n")
    path = yaml_file(tmp_path, "sub/top.yaml", "base: ../low.yaml\nname: top\nlist: [3]\n")
    assert read_yaml(path) == {"name": "top", "training": {"steps": 2, "device": "cpu"}, "list": [3]}


def test_bases_in_a_circle_are_an_error(tmp_path: Path) -> None:
    path = yaml_file(tmp_path, "a.yaml", "base: b.yaml\n")
    yaml_file(tmp_path, "b.yaml", "base: a.yaml\n")
    with pytest.raises(ConfigError, match=r"in a circle: a\.yaml -> b\.yaml -> a\.yaml"):
        read_yaml(path)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: [1", "not valid YAML"),
        ("- 1\n- 2\n", "this file holds a list"),
        ("", "this file holds a NoneType"),
        ("base: gone.yaml\n", r"gone\.yaml: cannot be read \(No such file or directory\)"),
    ],
)
def test_a_file_that_is_no_config(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read_yaml(yaml_file(tmp_path, "x.yaml", text))


def test_bytes_that_are_not_text(tmp_path: Path) -> None:
    path = tmp_path / "x.yaml"
    path.write_bytes(b"name: \xff\xfe\x00")
    with pytest.raises(ConfigError, match=r"x\.yaml: not valid YAML"):
        read_yaml(path)


def test_merging_leaves_its_arguments_alone() -> None:
    base, over = {"a": {"b": 1, "c": {"d": 2}}}, {"a": {"c": {"e": 3}, "b": [4]}}
    assert merged(base, over) == {"a": {"b": [4], "c": {"d": 2, "e": 3}}}
    assert base == {"a": {"b": 1, "c": {"d": 2}}}
    assert over == {"a": {"c": {"e": 3}, "b": [4]}}


def test_a_mapping_of_another_kind_replaces_the_old_one() -> None:
    base = {"shape": {"kind": "round", "radius": 2}}
    assert merged(base, {"shape": {"kind": "square"}}) == {"shape": {"kind": "square"}}
    assert merged(base, {"shape": {"kind": "round", "x": 1}}) == {"shape": {"kind": "round", "radius": 2, "x": 1}}
    assert merged(base, {"shape": {"radius": 3}}) == {"shape": {"kind": "round", "radius": 3}}
    found = overridden(base, ["shape.kind=square", "shape.side=4"])
    assert validated(Whole, {"name": "x", "shapes": [found["shape"]]}, where="x").shapes == (Square(side=4),)


def test_overrides_are_read_as_yaml_and_lie_over_the_file() -> None:
    values = {"lora": {"rank": 4, "alpha": 4}, "name": "x"}
    found = overridden(values, ["lora.rank=8", "name='8'", "new.deep.key=[1, {a: b}]", "off=false", "none=", "eq=a=b"])
    assert found == {
        "lora": {"rank": 8, "alpha": 4},
        "name": "8",
        "new": {"deep": {"key": [1, {"a": "b"}]}},
        "off": False,
        "none": None,
        "eq": "a=b",
    }
    assert values == {"lora": {"rank": 4, "alpha": 4}, "name": "x"}


def test_every_unreadable_override_is_listed() -> None:
    with pytest.raises(ConfigError) as raised:
        overridden({}, ["rank", "=3", "good=1", "list=[1"])
    lines = str(raised.value).splitlines()
    assert [line.split(":")[0] for line in lines] == ["rank", "=3", "list=[1"]
    assert "has the form key.sub=value" in lines[0]
    assert "not valid YAML" in lines[2]


def test_runtime_fields_are_left_out_of_the_identity_at_any_depth() -> None:
    assert is_runtime(Training, "device")
    assert not is_runtime(Training, "steps")
    one = Whole(name="x", table={"a": Training(device="cpu")}, training=Training(device="cpu"))
    other = Whole(name="x", table={"a": Training(device="cuda")}, training=Training(device="cuda"))
    assert one != other
    assert identity(one) == identity(other)
    assert "device" not in str(identity(one))


def test_defaults_are_part_of_the_identity() -> None:
    assert identity(Training()) == identity(Training(steps=10)) == {"learning_rate": 0.001, "steps": 10}
    assert identity(Training()) != identity(Training(steps=11))
    assert identity(Whole(name="x", shapes=(Square(),))) != identity(Whole(name="x", shapes=(Round(),)))


def test_an_unstable_value_has_no_identity() -> None:
    with pytest.raises(TypeError, match="type set has no stable JSON form"):
        identity({"a": {1, 2}})


def test_the_digest_is_that_of_the_canonical_json() -> None:
    expected = hashlib.sha256(b'{"a":[1,null,true],"b":"x"}').hexdigest()
    assert digest({"b": "x", "a": [1, None, True]}) == digest({"a": (1, None, True), "b": "x"}) == expected
    assert digest({"a": 1}) != digest({"a": "1"})
    assert digest([]) != digest({})
    with pytest.raises(ValueError, match="Out of range"):
        digest(float("nan"))


def test_a_duplicate_key_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "x.yaml").write_text("a: 1\nb: {c: 1, c: 2}\n")
    with pytest.raises(
        ConfigError, match=r"(?s)x\.yaml: not valid YAML: .*line 2, column 11: the key 'c' is given more than once"
    ):
        read_yaml(tmp_path / "x.yaml")


def test_a_base_may_be_shipped(tmp_path: Path) -> None:
    (tmp_path / "shipped.yaml").write_text("a: 1\nb: 2\n")
    mine = tmp_path / "elsewhere" / "mine.yaml"
    mine.parent.mkdir()
    for name in ("demo", "demo.yaml"):
        mine.write_text(f"base: {name}\nb: 3\n")
        assert read_yaml(mine, {"demo": tmp_path / "shipped.yaml"}) == {"a": 1, "b": 3}
    with pytest.raises(ConfigError, match="cannot be read"):
        read_yaml(mine)


def test_a_list_is_not_called_too_short_for_what_is_wrong_in_it() -> None:
    class Item(Config):
        name: str

    class Several(Config):
        items: tuple[Item, ...] = Field(min_length=1)

    with pytest.raises(ConfigError, match=r"x: 1 error\n  items\.0\.nmae: unknown key|x: 2 errors") as raised:
        validated(Several, {"items": [{"nmae": "a"}]}, where="x")
    assert "at least 1 item" not in str(raised.value)
    with pytest.raises(ConfigError, match="at least 1 item"):
        validated(Several, {"items": []}, where="x")
    with pytest.raises(ConfigError, match=r"valid string \(given: False\); quote it, so that it stays a text"):
        validated(Item, {"name": False}, where="x")


def test_an_override_that_needs_quotes_says_so() -> None:
    with pytest.raises(ConfigError, match=r"""pattern=\[a\]b: .*not valid YAML; quote it: pattern="'\[a\]b'\""""):
        overridden({}, ["pattern=[a]b"])
