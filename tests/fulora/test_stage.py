"""Stages and artifacts: what names a folder, and what does not."""

import json
import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import pytest

from fulora.config import Config, Runtime, digest
from fulora.json_files import DamagedFileError
from fulora.stage import Artifact, MissingInputError, Source, Stage, read_record, stage


class CountConfig(Config):
    to: int = 3
    workers: Annotated[int, Runtime] = 1


@dataclass(frozen=True)
class Number(Artifact):
    """A number in a file."""


@stage(version=1)
def count(out: Path, config: CountConfig, start: int = 0) -> Number:
    return Number(out, "")


@stage(version=1)
def add(out: Path, numbers: Sequence[Artifact], named: Mapping[str, Artifact], last: Artifact | None = None) -> Number:
    return Number(out, "")


@stage(version=1)
def look(out: Path, at: Artifact, device: Annotated[str, Runtime] = "auto") -> Number:
    return Number(out, "")


def number(fingerprint: str) -> Number:
    return Number(Path("/nowhere") / fingerprint, fingerprint)


def test_a_stage_knows_its_name_and_what_it_returns() -> None:
    assert count.name == "count"
    assert count.returns is Number
    assert (count.version, count.resumes, count.check) == (1, False, None)


def test_the_identity_is_stage_version_and_resolved_arguments() -> None:
    call = count.call(CountConfig(workers=8))
    assert call.identity() == {"stage": "count", "version": 1, "arguments": {"config": {"to": 3}, "start": 0}}
    assert call.fingerprint() == digest(call.identity())[:16]
    assert call.fingerprint() == count.call(config=CountConfig(to=3), start=0).fingerprint()


def test_config_version_name_and_plain_values_change_the_fingerprint() -> None:
    def recount(out: Path, config: CountConfig, start: int = 0) -> Number:
        return Number(out, "")

    fingerprints = {
        count.call(CountConfig()).fingerprint(),
        count.call(CountConfig(to=4)).fingerprint(),
        count.call(CountConfig(), start=1).fingerprint(),
        Stage(count.function, 2, resumes=False, check=None).call(CountConfig()).fingerprint(),
        stage(version=1)(recount).call(CountConfig()).fingerprint(),
    }
    assert len(fingerprints) == 5


def test_inputs_are_found_alone_in_lists_and_in_mappings() -> None:
    call = add.call([number("a"), number("b")], {"x": number("c")}, last=number("d"))
    assert {name: item.fingerprint for name, item in call.inputs().items()} == {
        "numbers.0": "a",
        "numbers.1": "b",
        "named.x": "c",
        "last": "d",
    }
    assert add.call([], {}).inputs() == {}


@dataclass(frozen=True)
class Sum:
    """Inputs of a stage, as one record."""

    numbers: Mapping[str, Artifact]
    digits: int = 2


@dataclass(frozen=True)
class Product(Sum):
    """Another record of the same fields."""


@stage(version=1)
def compute(out: Path, terms: Sequence[Sum]) -> Number:
    return Number(out, "")


def test_inputs_are_found_in_records() -> None:
    call = compute.call([Sum({"x": number("a")}), Sum({"y": number("b")})])
    assert {name: item.fingerprint for name, item in call.inputs().items()} == {
        "terms.0.numbers.x": "a",
        "terms.1.numbers.y": "b",
    }
    fingerprints = {
        compute.call([record]).fingerprint()
        for record in (
            Sum({"x": number("a")}),
            Sum({"x": number("b")}),
            Sum({"y": number("a")}),
            Sum({"x": number("a")}, digits=3),
            Product({"x": number("a")}),
        )
    }
    assert len(fingerprints) == 5


def test_every_input_its_place_and_its_type_change_the_fingerprint() -> None:
    a, b = number("a"), number("b")
    fingerprints = {
        add.call([a, b], {"x": a}).fingerprint(),
        add.call([b, a], {"x": a}).fingerprint(),
        add.call([a, b], {"y": a}).fingerprint(),
        add.call([a, b], {"x": b}).fingerprint(),
        add.call([a, b], {"x": a}, last=a).fingerprint(),
        add.call([a, b], {"x": Source(a.path, "a")}).fingerprint(),
    }
    assert len(fingerprints) == 6


def test_where_an_input_lies_does_not_change_the_fingerprint() -> None:
    here, there = Number(Path("/here"), "a"), Number(Path("/there"), "a")
    assert add.call([here], {}).fingerprint() == add.call([there], {}).fingerprint()


def test_a_runtime_argument_does_not_change_the_fingerprint() -> None:
    plain, placed = look.call(number("a")), look.call(number("a"), device="cuda")
    assert placed.arguments["device"] == "cuda"
    assert plain.identity() == placed.identity()
    assert plain.identity()["arguments"] == {"at": {"artifact": "Number", "fingerprint": "a"}}  # type: ignore[index, call-overload]
    assert plain.fingerprint() != look.call(number("b")).fingerprint()


def test_a_wrong_argument_is_refused_before_anything_runs() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'strat'"):
        count.call(CountConfig(), strat=1)  # type: ignore[call-arg]
    with pytest.raises(TypeError, match="missing a required argument: 'config'"):
        count.call()  # type: ignore[call-arg]


def test_an_artifact_is_made_when_its_record_is_there(tmp_path: Path) -> None:
    artifact = Number(tmp_path, "f")
    assert artifact.made == ""
    with pytest.raises(MissingInputError, match=r"is not a finished artifact: it has no stage\.json"):
        read_record(tmp_path)
    record = a_record()
    (tmp_path / "stage.json").write_text(json.dumps(record))
    assert artifact.made == "1234"
    assert read_record(tmp_path) == record


def a_record(**values: object) -> dict[str, object]:
    identity = {"stage": "count", "version": 1, "arguments": {}}
    folders: dict[str, dict[str, str]] = {"inputs": {}, "input_folders": {}, "input_fingerprints": {}, "versions": {}}
    texts = {"stage": "count", "label": "count", "artifact": "Number", "digest": "d", "code": "c", "made": "1234"}
    record = {**texts, **folders, "identity": identity, "fingerprint": digest(identity)[:16], "commit": ""}
    return record | {"seconds": 0.5, "finished": "2026-01-01T00:00:00Z"} | values


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"{}", r"stage\.json: is damaged.*stage: Field required; .* and 12 more"),
        (b"[1]", r"stage\.json: is damaged.*Input should be an object"),
        (b"", r"stage\.json: is damaged.*Invalid JSON"),
        (b"\xff\xfe{", r"stage\.json: is damaged.*Invalid JSON"),
        (json.dumps(a_record(inputs=["a"])).encode(), r"stage\.json: is damaged.*inputs: Input should be an object"),
        (json.dumps(a_record(fingerprint="0" * 16)).encode(), r"stage\.json: is damaged: its identity is not that of"),
    ],
)
def test_a_damaged_record_is_named(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "stage.json").write_bytes(content)
    with pytest.raises(DamagedFileError, match=message):
        read_record(tmp_path)


def test_data_from_outside_are_known_by_their_content() -> None:
    assert Source(Path("/nowhere"), "abc").made == "abc"


def test_the_digest_of_the_code_is_that_of_the_whole_module() -> None:
    assert count.source_digest() == add.source_digest()
    assert len(count.source_digest()) == 64


def test_a_stage_and_its_call_travel_by_the_stages_name() -> None:
    call = count.call(CountConfig(to=4), start=2)
    there = pickle.loads(pickle.dumps(call))
    assert there.stage is count
    assert (there.fingerprint(), there.arguments) == (call.fingerprint(), call.arguments)


def test_a_stage_that_no_module_has_cannot_travel() -> None:
    def within(out: Path, config: CountConfig) -> Number:
        return Number(out, "")

    with pytest.raises(AttributeError, match="within"):
        pickle.loads(pickle.dumps(stage(version=1)(within)))
