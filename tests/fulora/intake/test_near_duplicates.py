"""Curation and near duplicates of two patients: in one split, or left out of training, or refused; never in silence."""

import json
from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, label_set
from fulora.data.split_file import SplitFile
from fulora.data.splits import SplitError
from fulora.intake.check.check_folder import check_folder
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.phantoms.scan import draw
from fulora.intake.source_config import SourceInputs

FETAL = label_set("fetal_planes")

DRAWN = draw("brain", range(12), site="A", size_px=96, seed=7).images
ALL = "train+validation+test"


def brightened(picture: np.ndarray) -> np.ndarray:
    """Another saving of the same frame: cropped by a pixel, scaled, brighter."""
    return cv2.resize(np.clip(picture[1:, 1:] * 1.1, 0, 255).astype(np.uint8), (120, 120))


def save(folder: Path, patient: int, picture: np.ndarray, name: str = "a") -> None:
    (folder / "brain").mkdir(parents=True, exist_ok=True)
    Pil.fromarray(picture).save(folder / "brain" / f"{folder.name}_P{patient}_{name}.png")


def own(folder: Path, patients: range) -> Path:
    for patient in patients:
        save(folder, patient, DRAWN[patient])
    return folder


def config(*sources: dict[str, object], **values: object) -> CurateConfig:
    common = {"kind": "class_folders", "patient_pattern": r"P(\d+)_"}
    return CurateConfig.model_validate(
        {"sources": [common | source for source in sources], "deidentify": "nothing", **values}
    )


def curated(out: Path, cfg: CurateConfig, *inputs: SourceInputs, labels: LabelSet = FETAL) -> Curation:
    curation = Curation(cfg, inputs)
    ImageSet.write(out, curation.pictures(), labels=labels)
    curation.near_duplicates.write(out / "audit")
    return curation


def splits_of(out: Path) -> dict[int, str]:
    return {int(row.patient): row.split for row in ImageSet(out, "").rows()}


@pytest.mark.parametrize("rule", ["stratified", "patients"])
@pytest.mark.parametrize("fit", ["native", "letterbox", "crop"])
def test_two_numbers_of_one_frame_stay_together(tmp_path: Path, rule: str, fit: str) -> None:
    """A chain of six patients, each with a changed copy of the one before: apart in any division that does not look."""
    folder = own(tmp_path / "in", range(12))
    for patient in range(1, 6):
        save(folder, patient, brightened(DRAWN[patient - 1]), "copy")
    cfg = config({"folder": "in", "role": ALL, "split": rule}, fit=fit)
    curation = curated(tmp_path / "out", cfg, SourceInputs(folder))
    where = splits_of(tmp_path / "out")
    assert len({where[patient] for patient in range(6)}) == 1
    assert set(where.values()) == {"train", "validation", "test"}
    assert curation.near_duplicates.joined == (tuple(f"own//{n}" for n in range(6)),)
    assert "5 pairs of images" in curation.near_duplicates.lines()[0]
    assert "6 patients were kept together in 1 groups" in curation.near_duplicates.lines()[1]
    kept = json.loads((tmp_path / "out" / "audit" / "near_duplicates.json").read_text())
    assert len(kept["pairs"]) == 5
    assert check_folder(tmp_path / "out").clean


def test_a_name_outside_the_sector_does_not_make_one_frame_two(tmp_path: Path) -> None:
    """Two screens that differ in their text alone: identical once cleaned, and in one split."""
    folder = tmp_path / "in"
    for patient in range(10):
        screen = np.zeros((200, 300), np.uint8)
        screen[52:148, 102:198] = DRAWN[max(patient, 4)]
        for line in range(4):
            name = f"SMITH {patient} {'ABCDEFGHIJ'[patient] * (3 * line)}"
            cv2.putText(screen, name, (2, 14 + 11 * line), cv2.FONT_HERSHEY_SIMPLEX, 0.4, 255, 1, cv2.LINE_AA)
        save(folder, patient, screen)
    cfg = config({"folder": "in", "role": ALL}, deidentify="outside", fit="native")
    curated(tmp_path / "out", cfg, SourceInputs(folder))
    assert len({splits_of(tmp_path / "out")[patient] for patient in range(5)}) == 1
    assert check_folder(tmp_path / "out").clean


def two_folders(folder: Path, change=brightened) -> tuple[SourceInputs, SourceInputs]:  # type: ignore[no-untyped-def]
    """Patients 0 to 5 to train on; 6 to 11 to test on, of whom 7 shows a frame of 1, who has another picture too."""
    first, second = own(folder / "first", range(6)), own(folder / "second", range(6, 12))
    save(second, 7, change(DRAWN[1]), "copy")
    save(first, 1, np.flipud(DRAWN[1]).copy(), "other")
    return SourceInputs(first), SourceInputs(second)


ROLES = {"folder": "first", "role": "train"}, {"folder": "second", "role": "test"}


def test_fixed_roles_stop_with_the_pair_and_the_ways_out(tmp_path: Path) -> None:
    with pytest.raises(SplitError) as caught:
        curated(tmp_path / "out", config(*ROLES), *two_folders(tmp_path))
    first, second, *_, advice = str(caught.value).splitlines()
    assert first == "1 pairs of images of two patients are identical or near duplicates and are in two splits:"
    assert second.startswith(
        "own_brain/first_P1_a (own//1, train) ~ own_brain/second_P7_copy (own//7, test), correlation"
    )
    assert "near_duplicates: leave_out" in advice
    assert "near_duplicates: ignore" in advice
    assert not (tmp_path / "out").exists()


def test_patients_left_out_are_nearer_to_training_and_lose_all_images(tmp_path: Path) -> None:
    for number, roles in enumerate((ROLES, ROLES[::-1])):
        inputs = two_folders(tmp_path / str(number))
        cfg = config(*roles, near_duplicates="leave_out")
        curation = curated(tmp_path / f"out{number}", cfg, *(inputs if number == 0 else inputs[::-1]))
        rows = ImageSet(tmp_path / f"out{number}", "").rows()
        assert {int(row.patient) for row in rows if row.split == "train"} == {0, 2, 3, 4, 5}
        assert sum(row.split == "test" for row in rows) == 7
        assert len(curation.left_out) == 2
        assert all("left out of train: own_brain/" in line for line in curation.left_out)
        assert curation.near_duplicates.left_out == tuple(curation.left_out)
        assert check_folder(tmp_path / f"out{number}").clean


def test_what_is_ignored_is_counted_and_found_by_the_check(tmp_path: Path) -> None:
    curation = curated(tmp_path / "out", config(*ROLES, near_duplicates="ignore"), *two_folders(tmp_path))
    assert len(ImageSet(tmp_path / "out", "").rows()) == 14
    assert "1 pairs are in two splits: scores" in curation.near_duplicates.lines()[-1]
    assert [f.kind for f in check_folder(tmp_path / "out").findings if f.severity == "leak"] == [
        "near duplicates across splits"
    ]


def test_identical_pictures_cannot_be_ignored(tmp_path: Path) -> None:
    cfg = config(*ROLES, near_duplicates="ignore")
    with pytest.raises(
        SplitError, match=r"1 pairs of images of two patients are identical and are in two splits:\n.* = "
    ):
        curated(tmp_path / "out", cfg, *two_folders(tmp_path, np.copy))


def test_a_saved_split_that_parts_them_is_refused_or_made_smaller(tmp_path: Path) -> None:
    folder = own(tmp_path / "in", range(4))
    save(folder, 1, brightened(DRAWN[0]), "copy")
    splits = {"own//0": "train", "own//1": "validation", "own//2": "train", "own//3": "test"}
    SplitFile("by hand", splits).save(tmp_path / "split.json")  # type: ignore[arg-type]
    inputs = SourceInputs(folder, tmp_path / "split.json")
    with pytest.raises(SplitError, match="are identical or near duplicates and are in two splits"):
        curated(tmp_path / "out", config({"folder": "in"}), inputs)
    curation = curated(tmp_path / "out", config({"folder": "in"}, near_duplicates="leave_out"), inputs)
    assert splits_of(tmp_path / "out") == {1: "validation", 2: "train", 3: "test"}
    assert curation.splits[0].left_out == {"own//0"}
    curation.splits[0].save(tmp_path / "again.json")
    curated(tmp_path / "again", config({"folder": "in"}), SourceInputs(folder, tmp_path / "again.json"))
    assert splits_of(tmp_path / "again") == splits_of(tmp_path / "out")


def test_leaving_out_all_training_patients_is_refused(tmp_path: Path) -> None:
    first, second = own(tmp_path / "first", range(1)), own(tmp_path / "second", range(6, 8))
    save(second, 7, brightened(DRAWN[0]), "copy")
    with pytest.raises(SplitError, match="no patient remains in train without the near duplicates"):
        curated(
            tmp_path / "out", config(*ROLES, near_duplicates="leave_out"), SourceInputs(first), SourceInputs(second)
        )


def test_of_blocks_single_images_beside_a_border_are_left_out(tmp_path: Path) -> None:
    """Ten stretches in a row, each ending as the next begins: joining them would leave one patient."""
    folder = own(tmp_path / "in", range(10))
    for patient in range(1, 10):
        save(folder, patient, brightened(DRAWN[patient - 1]), "first")
    cfg = config({"folder": "in", "role": ALL, "split": "blocks"})
    curation = curated(tmp_path / "out", cfg, SourceInputs(folder))
    where = defaultdict(list)
    for row in ImageSet(tmp_path / "out", "").rows():
        where[row.split].append(row.image_id)
    assert {split: len(names) for split, names in where.items()} == {"train": 8, "validation": 3, "test": 6}
    assert [line.split(":")[0] for line in curation.left_out] == ["own_brain/in_P6_a", "own_brain/in_P4_a"]
    assert curation.near_duplicates.joined == ()
    assert check_folder(tmp_path / "out").clean


def test_nothing_is_compared_where_all_is_one_split(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = own(tmp_path / "in", range(2))
    save(folder, 1, brightened(DRAWN[0]), "copy")
    monkeypatch.setattr("fulora.intake.curate.curate.find_duplicate_pairs", None)
    curated(tmp_path / "out", config({"folder": "in"}), SourceInputs(folder))
    assert check_folder(tmp_path / "out").clean


# --- the real folders


@pytest.mark.real_data
@pytest.mark.parametrize("values", [{}, {"fit": "native", "deidentify": "everywhere"}])
def test_what_curation_makes_of_the_african_planes_is_clean(
    data_root: Path, tmp_path: Path, values: dict[str, object]
) -> None:
    """217 planes of 61 numbers; five women have two numbers: 16 of their pictures are identical, 4 are nearly so."""
    source = {"kind": "african_planes", "role": ALL}
    cfg = CurateConfig.model_validate({"sources": [source], **values})
    curation = curated(tmp_path, cfg, SourceInputs(data_root / "african" / "african_train"))
    assert len(ImageSet(tmp_path, "").rows()) == 217
    assert len(curation.near_duplicates.pairs) == 20
    pairs = [{key.rpartition("/")[2] for key in group} for group in curation.near_duplicates.joined]
    expected = [{"7", "34"}, {"2", "23"}, {"8", "19"}, {"12", "23"}, {"17", "26"}]
    assert sorted(map(sorted, pairs)) == sorted(map(sorted, expected))
    assert check_folder(tmp_path).clean


@pytest.mark.real_data
@pytest.mark.parametrize(("rule", "images", "left_out"), [("stratified", 300, 0), ("blocks", 284, 16)])
def test_frames_of_videos(data_root: Path, tmp_path: Path, rule: str, images: int, left_out: int) -> None:
    """PSFHS: 350 pairs of neighbouring stretches look alike, and every split is still there."""
    cfg = CurateConfig.model_validate({"sources": [{"kind": "psfhs", "role": ALL, "split": rule}]})
    curation = curated(tmp_path, cfg, SourceInputs(data_root / "psfhs"), labels=label_set("intrapartum"))
    rows = ImageSet(tmp_path, "").rows()
    assert {row.split for row in rows} == {"train", "validation", "test"}
    assert (len(rows), len(curation.left_out)) == (images, left_out)
    assert len(curation.near_duplicates.pairs) >= 347
    assert check_folder(tmp_path).clean
