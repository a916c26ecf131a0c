"""Curation: splits by rule, nothing lost in silence, text gone, and an account of what was removed."""

import json
from collections import Counter, defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.split_file import SplitFile
from fulora.data.splits import Member, SplitError
from fulora.intake.config import ClassFoldersConfig, CurateConfig, PhantomsConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.curate.patient_splits import split_patients
from fulora.intake.deidentify.audit import CurationAudit
from fulora.intake.phantoms.scan import draw
from fulora.intake.raw_image import SourceError
from fulora.intake.source_config import SourceConfig, SourceInputs

FETAL = label_set("fetal_planes")


def folder_of_planes(folder: Path, patients: int = 8) -> Path:
    """Two planes a patient: phantoms on a black screen with a name in its corner."""
    for plane in ("brain", "femur"):
        drawn = draw(plane, range(patients), site="A", size_px=96, seed=3)
        (folder / plane).mkdir(parents=True)
        for number, picture in enumerate(drawn.images):
            screen = np.zeros((160, 200), np.uint8)
            screen[50:146, 50:146] = picture
            cv2.putText(screen, "SMITH", (4, 20), cv2.FONT_HERSHEY_SIMPLEX, 0.5, 220, 1, cv2.LINE_AA)
            Pil.fromarray(screen).save(folder / plane / f"P{number}_{plane}.png")
    return folder


def config(**values: object) -> CurateConfig:
    source = {"kind": "class_folders", "folder": "x", "patient_pattern": r"P(\d+)_", "role": "train+validation+test"}
    of_source = {name: values.pop(name) for name in list(values) if name not in CurateConfig.model_fields}
    return CurateConfig.model_validate({"sources": [source | of_source], "image_size_px": 64, **values})


def written(folder: Path, out: Path, **values: object) -> tuple[ImageSet, Curation, CurationAudit]:
    audit = CurationAudit(out / "audit", "around the sector")
    curation = Curation(config(**values), [SourceInputs(folder)], seen=audit.note)
    ImageSet.write(out, curation.pictures(), labels=FETAL)
    audit.write(curation.left_out)
    return ImageSet(out, ""), curation, audit


def test_patients_stay_whole_and_every_split_has_every_plane(tmp_path: Path) -> None:
    images, curation, _ = written(folder_of_planes(tmp_path / "in"), tmp_path / "out")
    splits, planes = defaultdict(set), defaultdict(Counter)
    for row in images.rows():
        splits[row.patient].add(row.split)
        planes[row.split][row.plane] += 1
    assert all(len(found) == 1 for found in splits.values())
    assert all(counts["brain"] == counts["femur"] for counts in planes.values())
    assert {split: counts.total() for split, counts in planes.items()} == {"train": 8, "validation": 4, "test": 4}
    assert curation.splits[0].patients == {f"own//{who}": found.pop() for who, found in splits.items()}


def test_a_saved_split_decides(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 3)
    SplitFile("by hand", {"own//0": "test", "own//2": "train"}, frozenset({"own//1"})).save(tmp_path / "split.json")
    curation = Curation(config(), [SourceInputs(folder, tmp_path / "split.json")])
    found = {(picture.row.patient, picture.row.split) for picture in curation.pictures()}
    assert found == {("0", "test"), ("2", "train")}
    SplitFile("by hand", {"own//0": "test"}).save(tmp_path / "split.json")
    with pytest.raises(SplitError, match="own//1: is not in the split"):
        list(Curation(config(), [SourceInputs(folder, tmp_path / "split.json")]).pictures())


@pytest.mark.slow
def test_patients_who_share_a_picture_stay_together(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 10)
    for number in range(1, 5):  # five are chained to each other by copies, under other encodings
        picture = Pil.open(folder / "brain" / f"P{number}_brain.png").convert("RGB")
        picture.save(folder / "brain" / f"P{number - 1}_copy.bmp")
    images, *_ = written(folder, tmp_path / "out")
    assert len({row.split for row in images.rows() if int(row.patient) < 5}) == 1
    assert len({row.split for row in images.rows()}) == 3


def test_text_goes_and_an_account_is_given(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 3)
    images, _, audit = written(folder, tmp_path / "out", fit="native")
    assert all(not images.pixels(row)[:40].any() for row in images.rows())
    lines = (tmp_path / "out" / "audit" / "deidentification.jsonl").read_text().splitlines()
    assert {json.loads(line)["image_id"] for line in lines} == {row.image_id for row in images.rows()}
    assert len(lines) == 6
    assert all(json.loads(line)["outside_px"] > 30 for line in lines)
    summary = json.loads((tmp_path / "out" / "audit" / "summary.json").read_text())
    assert summary["own"]["images"] == summary["own"]["with_removal"] == 6
    review = json.loads((tmp_path / "out" / "audit" / "review.json").read_text())
    assert review["state"] == "cleaned automatically, not checked"
    assert review["counts"]["cleaned automatically, not checked"] == 6
    assert sorted(review["sheets"]) == ["changed-0001.png", "changed-0002.png"]
    assert [json.loads(line)["sheet"] for line in lines] == ["changed-0001.png"] * 4 + ["changed-0002.png"] * 2
    with Pil.open(tmp_path / "out" / "audit" / "changed-0001.png") as sheet:
        assert sheet.mode == "RGB"
    assert audit.sites["own"]["images"] == 6


def test_contact_sheets_show_every_picture_exactly_once(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 3)
    (folder / "brain" / "P0_again.png").write_bytes((folder / "brain" / "P0_brain.png").read_bytes())
    Pil.fromarray(np.full((20, 30), 90, np.uint8)).save(folder / "brain" / "P2_tiny.png")
    written(folder, tmp_path / "out", fit="native")
    lines = (tmp_path / "out" / "audit" / "deidentification.jsonl").read_text().splitlines()
    rows = {row["image_id"]: row for row in map(json.loads, lines)}
    assert {row["shown_as"] for row in rows.values() if "P0" in row["image_id"] and "femur" not in row["image_id"]} == {
        "own_brain/P0_again"
    }
    assert (rows["own_brain/P2_tiny"]["share"], rows["own_brain/P2_tiny"]["sheet"]) == (0.0, "unchanged-0001.png")
    counts = json.loads((tmp_path / "out" / "audit" / "review.json").read_text())["counts"]
    assert (counts["images"], counts["nothing removed, not checked"], counts["different pictures"]) == (8, 1, 7)


def test_deidentify_nothing_removes_nothing(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 2)
    images, *_ = written(folder, tmp_path / "out", fit="native", deidentify="nothing", role="train")
    assert all(images.pixels(row)[:40].any() for row in images.rows())
    assert not (tmp_path / "out" / "audit").exists()


def test_phantoms_are_never_touched(tmp_path: Path) -> None:
    phantoms = CurateConfig(sources=(PhantomsConfig(sites=("B",), planes=("brain",), per_plane=2),))
    drawn = draw("brain", range(2), site="B", size_px=64, seed=0)
    for picture, expected in zip(Curation(phantoms, [SourceInputs()]).pictures(), drawn.images, strict=True):
        np.testing.assert_array_equal(picture.pixels, expected)


def test_what_cannot_be_used_stops_the_work_or_is_listed(tmp_path: Path) -> None:
    folder = folder_of_planes(tmp_path / "in", 4)
    (folder / "brain" / "P1_brain.png").write_bytes(b"no picture")
    with pytest.raises(SourceError, match=r"P1_brain\.png: cannot be read as an image"):
        written(folder, tmp_path / "stopped")
    assert not list((tmp_path / "stopped").rglob("metadata.jsonl"))
    images, curation, _ = written(folder, tmp_path / "out", unusable="leave_out")
    assert len(images.rows()) == 7
    assert len(curation.left_out) == 1
    assert "P1_brain.png: cannot be read" in (tmp_path / "out" / "audit" / "left_out.txt").read_text()


@pytest.mark.slow
def test_hugging_face_opens_a_set_with_its_audit_and_splits(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    images, curation, _ = written(folder_of_planes(tmp_path / "in"), tmp_path / "out")
    curation.splits[0].save(images.path / "split-0-class_folders.json")
    opened = datasets.load_dataset("imagefolder", data_dir=str(images.path), cache_dir=str(tmp_path / "cache"))
    assert {name: len(split) for name, split in opened.items()} == {"train": 8, "validation": 4, "test": 4}


# --- rules


def members() -> list[Member]:
    return [
        Member(f"{site}{n}.{plane}", f"s/{site}/{n}", plane, site, published="test" if n % 3 == 0 else "train")
        for site in "AB"
        for n in range(12)
        for plane in ("brain", "femur")
    ]


def sizes(source: SourceConfig) -> dict[str, int]:
    return dict(Counter(split_patients(members(), source, 0).patients.values()))


def test_every_rule_can_be_configured() -> None:
    thirds = {"role": "train+validation+test", "validation_share": 0.25, "test_share": 0.25}
    assert sizes(SourceConfig.model_validate(thirds)) == {"train": 12, "validation": 6, "test": 6}
    assert sizes(SourceConfig.model_validate(thirds | {"split": "patients"})) == {
        "train": 12,
        "validation": 6,
        "test": 6,
    }
    blocks = split_patients(members(), SourceConfig.model_validate(thirds | {"split": "blocks", "gap": 1}), 0)
    assert len(blocks.left_out) == 8
    left = split_patients(members(), SourceConfig.model_validate(thirds | {"left_out_site": "B"}), 0)
    assert {patient for patient, split in left.patients.items() if split == "test"} == {f"s/B/{n}" for n in range(12)}
    assert Counter(left.patients.values()) == {"train": 8, "validation": 4, "test": 12}


def test_published_halves_and_validation_patients_from_the_training_half() -> None:
    published = {"split": "published"}
    both = SourceConfig.model_validate(published | {"role": "train+validation+test", "validation_share": 0.25})
    assert sizes(both) == {"train": 12, "validation": 4, "test": 8}
    only = split_patients(members(), SourceConfig.model_validate(published | {"role": "test"}), 0)
    assert set(only.patients.values()) == {"test"}
    assert len(only.left_out) == 16


def test_a_few_images_or_patients_of_each_plane_train() -> None:
    few = {"role": "train+test", "test_share": 0.25}
    for name, count in (("images_per_plane", 5), ("patients_per_plane", 2)):
        found = split_patients(members(), SourceConfig.model_validate(few | {name: count}), 0)
        assert found.images is not None
        where = Counter(
            (found.split_of(m.image_id, m.patient), m.plane) for m in members() if found.split_of(m.image_id, m.patient)
        )
        assert where == {
            ("train", "brain"): count,
            ("train", "femur"): count,
            ("test", "brain"): 6,
            ("test", "femur"): 6,
        }


def test_a_split_without_patients() -> None:
    everyone = SourceConfig.model_validate({"role": "train+validation+test", "split": "blocks", "gap": 9})
    with pytest.raises(SplitError, match=r"none of 24 patients is in"):
        split_patients(members(), everyone, 0)
    with pytest.raises(SplitError, match="none of 2 patients is in validation; give more patients"):
        split_patients(members()[:4], SourceConfig(role="train+validation+test"), 0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"left_out_site": "B", "role": "train"}, r"left_out_site=B is the test split: use a role with \+test"),
        ({"gap": 1}, "gap goes with split=blocks"),
        ({"images_per_plane": 1, "patients_per_plane": 1}, "exclude each other: give one"),
    ],
)
def test_rules_that_contradict_each_other(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SourceConfig.model_validate(values)


# --- the real folders


@pytest.mark.real_data
def test_the_real_sets_have_the_published_counts(data_root: Path, tmp_path: Path) -> None:
    """African planes, with identical pictures under two numbers, split into three: nothing crosses."""
    source = {"kind": "african_planes", "role": "train+validation+test"}
    cfg = CurateConfig.model_validate({"sources": [source], "fit": "native", "deidentify": "nothing"})
    curation = Curation(cfg, [SourceInputs(data_root / "african" / "african_train")])
    rows: list[Image] = [picture.row for picture in curation.pictures()]
    assert Counter(row.site for row in rows) == {"Algeria": 48, "Egypt": 48, "Ghana": 36, "Malawi": 49, "Uganda": 36}
    where = {row.patient_key: row.split for row in rows}
    assert where["african_planes/Algeria/7"] == where["african_planes/Algeria/34"]
    shares = Counter((row.split, row.plane) for row in rows)
    planes = Counter(row.plane for row in rows)
    assert all(abs(shares["test", plane] / planes[plane] - 0.3) < 0.1 for plane in planes)


@pytest.mark.real_data
def test_a_class_folder_needs_to_know_its_patients(data_root: Path) -> None:
    source = ClassFoldersConfig(folder="fetal_planes_lora")
    with pytest.raises(SourceError, match="patients are unknown"):
        list(Curation(CurateConfig(sources=(source,)), [SourceInputs(data_root / "fetal_planes_lora")]).pictures())
