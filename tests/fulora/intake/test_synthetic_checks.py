"""`fulora data check` of sets with synthetic images: what is right there is let through, and leaks are found."""

import json
from pathlib import Path

import numpy as np
import pytest

from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import FILE, Provenance, ProvenanceEntry
from fulora.intake.check.check_folder import check_folder
from fulora.intake.check.findings import Check

FETAL = label_set("fetal_planes")


def noise(number: int) -> np.ndarray:
    return np.random.default_rng(number).integers(0, 256, (32, 32)).astype(np.uint8)


def picture(image_id: str, split: str, pixels: np.ndarray, plane: str = "brain") -> Picture:
    about = {"source": "s", "site": "A", "width": 0, "height": 0, "sha256": "", "file_name": "", "plane": plane}
    about |= {"image_id": image_id, "split": split, "patient": image_id.partition("_")[0], "origin": "real"}
    if image_id.startswith("synthetic"):
        about |= {"origin": "synthetic", "patient": "", "site": "", "source": "fulora", "generator": "g", "seed": "1"}
    return Picture(Image.model_validate(about), pixels)


def hybrid(folder: Path, *more: Picture, provenance: Provenance | None = None) -> Path:
    """Three patients in three splits, and four synthetic images."""
    folder.mkdir()
    rows = [picture(split[:2], split, noise(n)) for n, split in enumerate(("train", "validation", "test"))]
    rows += [picture(f"synthetic_{n}", "train", noise(10 + n)) for n in range(4)]
    known = provenance or Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=("s/A/tr",)),))
    ImageSet.write(folder, [*rows, *more], labels=FETAL, provenance=known)
    return folder


def found(check: Check) -> dict[str, tuple[str, int]]:
    return {one.kind: (one.severity, one.count) for one in check.findings}


def overwrite(folder: Path, target: str, source: str) -> None:
    """Give one image the pixels of another one, in its file and its row, as only a wrong tool can."""
    rows = {row.image_id: row for row in ImageSet(folder, "").rows()}
    one, other = rows[target], rows[source]
    (folder / one.split / one.file_name).write_bytes((folder / other.split / other.file_name).read_bytes())
    path = folder / one.split / "metadata.jsonl"
    path.write_text(path.read_text().replace(one.sha256, other.sha256))


def test_synthetic_images_are_counted_and_have_no_patient(tmp_path: Path) -> None:
    check = check_folder(hybrid(tmp_path / "set"))
    assert check.clean
    assert found(check) == {}
    assert (check.n_images, check.n_patients, check.patients) == (7, 3, ("tr", "va", "te"))
    assert check.counts["site"] == {"synthetic": 4, "A": 3}
    assert check.counts["machine"] == {"synthetic": 4, "not said": 3}


def test_a_synthetic_copy_of_a_held_out_image_is_a_leak(tmp_path: Path) -> None:
    folder = hybrid(tmp_path / "set")
    overwrite(folder, "synthetic_2", "te")
    check = check_folder(folder)
    assert not check.clean
    assert found(check) == {"identical across splits": ("leak", 1)}
    assert check.findings[0].examples == ("te (A te brain test) = synthetic_2 (brain train)",) or (
        check.findings[0].examples == ("synthetic_2 (brain train) = te (A te brain test)",)
    )


def test_a_synthetic_near_copy_of_a_held_out_image_is_a_leak(tmp_path: Path) -> None:
    smooth = np.kron(np.random.default_rng(5).integers(0, 200, (8, 8)), np.ones((16, 16))).astype(np.uint8)
    near, tested = picture("synthetic_9", "train", smooth), picture("te2_0", "test", smooth + np.uint8(3))
    check = check_folder(hybrid(tmp_path / "set", near, tested))
    assert found(check)["near duplicates across splits"] == ("leak", 1)
    trained = picture("tr_2", "train", smooth + np.uint8(3))
    check = check_folder(hybrid(tmp_path / "other", near, trained))
    assert check.clean
    assert found(check)["near duplicates of synthetic images"] == ("note", 1)


def test_a_generator_that_knows_a_held_out_patient_is_a_leak(tmp_path: Path) -> None:
    folder = hybrid(tmp_path / "set")
    entries = (
        ProvenanceEntry(name="LoRA l", patients=("s/A/va",)),
        ProvenanceEntry(name="judges j", use="chosen", patients=("s/A/te", "s/A/va")),
    )
    Provenance(entries=entries).write(folder)
    check = check_folder(folder)
    assert not check.clean
    (leak,) = check.findings
    assert (leak.severity, leak.kind, leak.count) == ("leak", "patients of the generator", 2)
    assert leak.examples == (
        "s/A/te: the patient is in test, and was used for model selection by judges j",
        "s/A/va: the patient is in validation, and was trained on by LoRA l",
    )


@pytest.mark.parametrize("with_file", [True, False])
def test_an_unknown_generator_is_a_note(tmp_path: Path, with_file: bool) -> None:
    folder = hybrid(tmp_path / "set", provenance=Provenance.unknown("a GAN"))
    if not with_file:
        (folder / FILE).unlink()
    check = check_folder(folder)
    assert check.clean
    (note,) = check.findings
    assert (note.kind, note.examples) == ("unknown generators", ("a GAN" if with_file else "the generator of set",))


def test_equal_synthetic_images_are_reported_unless_a_mix_repeated_them(tmp_path: Path) -> None:
    again = picture("synthetic_3_copy1", "train", noise(13))
    folder = hybrid(tmp_path / "set", again)
    assert found(check_folder(folder)) == {"identical synthetic images": ("misleading", 1)}
    (folder / "mix.json").write_text("{}")
    check = check_folder(folder)
    assert check.clean
    assert found(check) == {"added copies": ("note", 1)}
    overwrite(folder, "synthetic_1", "tr")
    overwrite(folder, "synthetic_0", "synthetic_2")
    assert found(check_folder(folder))["identical synthetic images"] == ("misleading", 2)


def test_copies_that_no_mix_added_are_reported(tmp_path: Path) -> None:
    folder = hybrid(tmp_path / "set", picture("tr_copy1", "train", noise(0)))
    assert found(check_folder(folder))["identical within a patient"] == ("misleading", 1)
    (folder / "mix.json").write_text("{}")
    assert check_folder(folder).clean


def test_equal_images_with_two_labels_are_reported(tmp_path: Path) -> None:
    check = check_folder(hybrid(tmp_path / "set", picture("synthetic_9", "train", noise(10), plane="femur")))
    assert found(check)["labels disagree"] == ("misleading", 1)


def test_blank_missing_and_changed_synthetic_images_are_reported(tmp_path: Path) -> None:
    folder = hybrid(tmp_path / "set", picture("synthetic_9", "train", np.full((32, 32), 7, np.uint8)))
    images = folder / "train" / "images"
    (images / "synthetic_0.png").unlink()
    (images / "synthetic_1.png").write_bytes((images / "synthetic_2.png").read_bytes())
    check = check_folder(folder)
    assert found(check)["constant images"] == ("misleading", 1)
    (unreadable,) = [one for one in check.findings if one.kind == "unreadable images"]
    assert unreadable.count == 2
    assert any("synthetic_0.png" in line for line in unreadable.examples)
    assert any("its pixels were changed since it was written" in line for line in unreadable.examples)


def test_a_generated_set_alone_is_clean_with_its_overview(tmp_path: Path) -> None:
    folder = tmp_path / "synthetic"
    folder.mkdir()
    rows = [picture(f"synthetic_{n}", "train", noise(n)) for n in range(3)]
    ImageSet.write(folder, rows, labels=FETAL, provenance=Provenance(entries=(ProvenanceEntry(name="LoRA l"),)))
    overview = folder / "overview.png"
    overview.write_bytes((folder / "train" / "images" / "synthetic_0.png").read_bytes())
    assert found(check_folder(folder)) == {"files without rows": ("misleading", 1)}
    (folder / "generation.json").write_text("{}")
    check = check_folder(folder)
    assert check.clean
    assert (check.n_images, check.n_patients) == (3, 0)
    assert json.loads(json.dumps(check.to_json()))["patients"] == []


def test_synthetic_images_of_two_sets_share_no_patient(tmp_path: Path) -> None:
    hybrid(tmp_path / "one")
    (tmp_path / "two").mkdir()
    rows = [picture(f"synthetic_{n}", "train", noise(20 + n)) for n in range(3)]
    ImageSet.write(tmp_path / "two", rows, labels=FETAL)
    check = check_folder(tmp_path)
    assert check.n_patients == 3
    assert found(check) == {}
    assert check.clean
