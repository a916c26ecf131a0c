"""A column `split` in the metadata of an imagefolder is its published split."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil

from fulora.data.label_set import label_set
from fulora.data.splits import SplitError
from fulora.intake.check.check_folder import check_folder
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.raw_image import SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.imagefolder import ImageFolderConfig

CLASSES = label_set("fetal_planes").joined(label_set("intrapartum"))

SPLITS = ("train", "Train ", "VAL", "validation", "test", "TEST")
OBEYED = ("train", "train", "validation", "validation", "test", "test")


def folder(path: Path, splits: tuple[str, ...] = SPLITS, patients: str = "abcdef", where: str = "") -> Path:
    """Six images of a plane, one a patient, with a metadata.csv."""
    lines = ["File_Name,Plane,Patient ID,Split"]
    (path / where).mkdir(parents=True, exist_ok=True)
    for number, (split, patient) in enumerate(zip(splits, patients, strict=True)):
        pixels = np.random.default_rng(number).integers(0, 256, (32, 40)).astype(np.uint8)
        Pil.fromarray(pixels).save(path / where / f"{number}.png")
        lines.append(f"{number}.png,brain,{patient},{split}")
    (path / where / "metadata.csv").write_text("\n".join(lines) + "\n")
    return path


def curated(path: Path, **source: object) -> dict[str, str]:
    given = {"kind": "imagefolder", "folder": "in", "role": "train+validation+test", **source}
    config = CurateConfig.model_validate({"sources": [given], "fit": "native", "deidentify": "nothing"})
    return {one.row.patient: one.row.split for one in Curation(config, [SourceInputs(path)]).pictures()}


def test_the_column_is_read_and_obeyed(tmp_path: Path) -> None:
    images = list(read_source(ImageFolderConfig(folder=""), SourceInputs(folder(tmp_path), labels=CLASSES)))
    assert tuple(image.published for image in images) == OBEYED
    assert curated(tmp_path) == dict(zip("abcdef", OBEYED, strict=True))
    assert set(curated(tmp_path, role="train").values()) == {"train"}
    assert set(curated(tmp_path, role="train")) == {"a", "b"}  # nobody of the test split is trained on


def test_another_rule_may_be_asked_for_and_none_is_needed(tmp_path: Path) -> None:
    assert len(curated(folder(tmp_path / "a"), split="stratified")) == 6
    assert [
        image.published
        for image in read_source(
            ImageFolderConfig(folder=""),
            SourceInputs(folder(tmp_path / "b", ("", "NA", "-", "", "", "")), labels=CLASSES),
        )
    ] == [None] * 6
    assert len(curated(tmp_path / "b")) == 6


def test_a_split_that_only_some_images_have_is_refused(tmp_path: Path) -> None:
    with pytest.raises(SplitError, match="its source names no split; use another split rule"):
        curated(folder(tmp_path, ("train", "train", "", "validation", "test", "test")))


def test_a_patient_in_two_splits_is_a_leak(tmp_path: Path) -> None:
    folder(tmp_path, patients="abcdea")
    found = [one for one in check_folder(tmp_path).findings if one.severity == "leak"]
    assert [one.kind for one in found] == ["patients in two splits"]
    with pytest.raises(SplitError, match="patients are in two published splits"):
        curated(tmp_path)


@pytest.mark.parametrize(
    ("word", "where", "message"),
    [
        ("holdout", "", "split is 'holdout'; it must be one of train, validation, valid, val, test, or empty"),
        ("1", "", "split is '1'; it must be one of train"),
        ("test", "train", "split is 'test' in its row, but 'train' by its folder"),
    ],
)
def test_a_split_that_cannot_be_obeyed(tmp_path: Path, word: str, where: str, message: str) -> None:
    folder(tmp_path, (word,) * 6, where=where)
    with pytest.raises(SourceError, match=rf"metadata\.csv, line 2: 0\.png: {message}"):
        list(read_source(ImageFolderConfig(folder=""), SourceInputs(tmp_path, labels=CLASSES)))


def test_names_in_json_and_two_that_are_one(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder(tmp_path)
    (tmp_path / "metadata.csv").unlink()
    rows = '{"File_Name": "0.png", "Label": "brain", "PatientID": 7, "Split": "val", "Fold": 1}\n'
    (tmp_path / "metadata.jsonl").write_text(rows)
    (image,) = read_source(ImageFolderConfig(folder=""), SourceInputs(tmp_path, labels=CLASSES), [].append)
    assert (image.patient, image.published) == ("7", "validation")
    assert "columns that are not read: Fold" in " ".join(capsys.readouterr().err.split())
    (tmp_path / "metadata.jsonl").write_text('{"file_name": "0.png", "split": "val", "Split": "test"}\n')
    with pytest.raises(SourceError, match="columns 'split' and 'Split' are both split; give one"):
        list(read_source(ImageFolderConfig(folder=""), SourceInputs(tmp_path, labels=CLASSES)))
