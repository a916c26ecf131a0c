"""The book of training people: each digest once in the file, whole through all parents, and refused where it is old."""

import json
from pathlib import Path

import pytest
import yaml

import fulora
from fulora.config import digest
from fulora.data.provenance import (
    FILE,
    EarlierVersionError,
    Provenance,
    ProvenanceEntry,
    derive_provenance,
    provenance_of,
    read_provenance,
)
from fulora.json_files import DamagedFileError

BACKBONE = ProvenanceEntry(
    name="backbone b", images=2, patients=("s/A/1", "s/A/2"), pixels=("x", "y"), ids=("s/i", "s/j")
)
LORA = BACKBONE.changed(name="LoRA l", parents=("backbone b",), different_patients=True)


def test_it_comes_back_as_it_was_written_and_holds_each_digest_once(tmp_path: Path) -> None:
    book = Provenance(entries=(LORA, LORA.changed(use="chosen", patients=("s/A/3",)), BACKBONE))
    book.write(tmp_path)
    assert read_provenance(tmp_path) == book
    text = (tmp_path / FILE).read_text()
    assert [text.count(f'"{item}"') for item in ("s/A/1", "s/A/3", "x", "s/i")] == [1, 1, 1, 1]
    assert book.patients() == ["s/A/1", "s/A/2", "s/A/3"]


def test_entries_of_two_parents_are_listed_once() -> None:
    one, two = Provenance(entries=(LORA, BACKBONE)), Provenance(entries=(BACKBONE,))
    assert one.joined(two) == one
    assert one.roots() == ("LoRA l",)
    assert derive_provenance("images", [one, two]).entries[0].parents == ("LoRA l",)
    assert derive_provenance("images", [Provenance()]) == Provenance()


def test_what_chose_is_not_what_drew() -> None:
    assert {entry.use for entry in Provenance(entries=(LORA, BACKBONE)).as_chosen().entries} == {"chosen"}


def test_weights_without_a_book_are_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "model.safetensors").write_bytes(b"")
    for place in (tmp_path, tmp_path / "model.safetensors"):
        assert provenance_of(place, "model").unknowns() == ["model"]
    (tmp_path / "stage.json").write_text('{"not": "of fulora"}')
    assert provenance_of(tmp_path, "model").unknowns() == ["model"]


@pytest.mark.parametrize("name", ["train_patients.json", "trained_on.json", "tainted_by.json"])
def test_what_an_earlier_version_kept_in_parts_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("[]")
    said = rf"was made by an earlier version of fulora.*{name} and no provenance\.json.*run the study or the command"
    with pytest.raises(EarlierVersionError, match=said):
        provenance_of(tmp_path, "LoRA")


def test_an_artifact_of_a_stage_without_a_book_is_of_an_earlier_version(tmp_path: Path) -> None:
    texts = ("stage", "label", "artifact", "digest", "code", "made", "finished", "commit")
    record = dict.fromkeys(texts, "") | {"identity": {}, "fingerprint": digest({})[:16], "seconds": 1.0}
    record |= {name: {} for name in ("inputs", "input_folders", "input_fingerprints", "versions")}
    (tmp_path / "stage.json").write_text(json.dumps(record))
    with pytest.raises(EarlierVersionError, match=r"it has no provenance\.json"):
        provenance_of(tmp_path, "classifier")


def test_an_entry_that_refers_to_nothing_is_damage(tmp_path: Path) -> None:
    Provenance(entries=(BACKBONE,)).write(tmp_path)
    book = json.loads((tmp_path / FILE).read_text()) | {"pixels": []}
    (tmp_path / FILE).write_text(json.dumps(book))
    with pytest.raises(DamagedFileError, match="an entry has an index beyond the end of its list"):
        read_provenance(tmp_path)


@pytest.mark.parametrize("kind", ["diffusion", "clip"])
def test_the_embedded_models_know_the_phantoms_that_they_were_trained_on(kind: str) -> None:
    """As `configs/pretrain_demo.yaml` draws them: so many of each plane at each site, one of a patient."""
    root = Path(fulora.__file__).parent
    (source,) = yaml.safe_load((root.parent / "configs/pretrain_demo.yaml").read_text())["models"]["images"]["sources"]
    (entry,) = provenance_of(root / "assets" / kind, "").entries
    people = {f"phantoms/{site}/{number}" for site in source["sites"] for number in range(source["per_plane"])}
    assert (set(entry.patients), entry.images, entry.known) == (people, 5 * len(people), True)
