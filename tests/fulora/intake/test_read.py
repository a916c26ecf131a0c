"""Curating: pictures of all sources at one size without distortion, in splits that share no patient."""

from collections import defaultdict
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.data.image_set import Picture
from fulora.data.image_set_rules import check_rows
from fulora.data.label_set import label_set
from fulora.intake.config import (
    AfricanPlanesConfig,
    CurateConfig,
    Hc18Config,
    LoraPlanesConfig,
    PhantomsConfig,
    PsfhsConfig,
)
from fulora.intake.curate.curate import Curation
from fulora.intake.image_set_labels import source_inputs
from fulora.intake.raw_image import SourceError
from fulora.intake.read_sources import read_source
from fulora.intake.source_config import SourceConfig, SourceInputs
from fulora.intake.sources.hc18 import LIST

PLANES = label_set("fetal_planes").names


def test_shares_follow_the_role() -> None:
    assert SourceConfig(role="test").split_shares() == {"test": 1.0}
    assert SourceConfig(role="validation").split_shares() == {"validation": 1.0}
    two = SourceConfig(role="train+validation", validation_share=0.25)
    assert two.split_shares() == {"train": 0.75, "validation": 0.25}
    assert SourceConfig(role="train+validation+test").split_shares() == pytest.approx(
        {"train": 0.5, "validation": 0.2, "test": 0.3}
    )


def test_configs_that_cannot_be_curated() -> None:
    phantoms = PhantomsConfig(sites=("A",), per_plane=1)
    with pytest.raises(ValidationError, match="must be a multiple of 32"):
        CurateConfig(sources=(phantoms,), image_size_px=100)
    with pytest.raises(ValidationError, match="at least 1 item"):
        CurateConfig(sources=())
    with pytest.raises(ValidationError, match="at least 1 item"):
        PhantomsConfig(sites=(), per_plane=1)
    with pytest.raises(ValidationError, match="validation_share"):
        SourceConfig(validation_share=0.5)


def test_folders_are_those_of_the_sources_on_disk() -> None:
    config = CurateConfig(
        sources=(LoraPlanesConfig(), PhantomsConfig(sites=("A",), per_plane=1), Hc18Config(folder="x"))
    )
    assert config.folders() == ("fetal_planes_lora", "x")


@pytest.mark.parametrize("source", [LoraPlanesConfig(), AfricanPlanesConfig(), Hc18Config(), PsfhsConfig()])
def test_a_source_on_disk_needs_its_folder(source: LoraPlanesConfig) -> None:
    with pytest.raises(SourceError, match="needs a folder under data_root"):
        list(read_source(source, SourceInputs(size_px=32)))


def curated(config: CurateConfig, folders: list[Path | None]) -> list[Picture]:
    paths = [{} if folder is None else {"folder": folder} for folder in folders]
    return list(Curation(config, source_inputs(config, paths)).pictures())


def heads(folder: Path, women: int, shape: tuple[int, int] = (96, 128)) -> Path:
    """A made-up HC18: two exams a woman, a filled ellipse each, 0.1 mm a pixel."""
    (folder / "training_set").mkdir(parents=True)
    lines = ["filename,pixel size(mm),head circumference (mm)"]
    for number in range(women):
        for exam in ("HC", "2HC"):
            name = f"{number:03d}_{exam}"
            size = (40 + number, 25 + number)
            mask = cv2.ellipse(np.zeros(shape, np.uint8), (shape[1] // 2, shape[0] // 2), size, 0, 0, 360, 255, -1)
            noise = np.random.default_rng(len(lines)).integers(0, 120, shape).astype(np.uint8)
            Pil.fromarray(noise + mask // 3).save(folder / "training_set" / f"{name}.png")
            Pil.fromarray(mask).save(folder / "training_set" / f"{name}_Mask.png")
            lines.append(f"{name}.png,0.1,170.0")
    (folder / LIST).write_text("\n".join(lines) + "\n")
    return folder


def test_a_limit_keeps_the_first_so_many(tmp_path: Path) -> None:
    folder = heads(tmp_path / "hc18", 2)
    assert [image.name for image in read_source(Hc18Config(limit=3), SourceInputs(folder, size_px=32))] == [
        "000_HC",
        "000_2HC",
        "001_HC",
    ]
    assert len(list(read_source(Hc18Config(), SourceInputs(folder, size_px=32)))) == 4


@pytest.mark.parametrize(("how", "scale"), [("letterbox", 64 / 128), ("crop", 64 / 96)])
def test_heads_are_fitted_with_their_masks_and_pixel_sizes(tmp_path: Path, how: str, scale: float) -> None:
    source = Hc18Config(role="train+validation+test")
    config = CurateConfig.model_validate(
        {"sources": (source,), "image_size_px": 64, "fit": how, "deidentify": "nothing"}
    )
    pictures = curated(config, [heads(tmp_path / "hc18", 6)])
    assert len(pictures) == 12
    splits = defaultdict(set)
    for number, picture in enumerate(pictures):
        row, mask = picture.row, picture.mask
        assert row.image_id == f"hc18_{number // 2:03d}_{'2HC' if number % 2 else 'HC'}"
        assert row.pixel_size_mm == pytest.approx(0.1 / scale)
        assert row.hc_mm == 170.0
        assert picture.pixels.shape == (64, 64)
        assert mask is not None
        assert set(np.unique(mask)) == {0, 1}
        area_mm2 = mask.sum() * row.pixel_size_mm**2
        a, b = 4.0 + 0.1 * (number // 2), 2.5 + 0.1 * (number // 2)
        if how == "letterbox":
            assert area_mm2 == pytest.approx(np.pi * a * b, rel=0.05)
        splits[row.patient_key].add(row.split)
    assert all(len(found) == 1 for found in splits.values())
    assert {split for found in splits.values() for split in found} == {"train", "validation", "test"}
    check_rows([picture.row.changed(sha256=picture.row.image_id) for picture in pictures])


PHANTOMS = PhantomsConfig(role="train", sites=("A", "B"), planes=("brain", "other"), per_plane=3, seed=5)


def test_phantoms_bring_their_known_truth() -> None:
    images = list(read_source(PHANTOMS, SourceInputs(size_px=32)))
    assert len(images) == 2 * 2 * 3
    assert len({image.name for image in images}) == 12
    for image in images:
        pixels, mask = image.load()
        assert pixels.shape == (32, 32)
        assert (mask is not None) == (image.hc_mm is not None) == (image.plane == "brain")
        assert image.pixel_size_mm is not None
        assert image.machine
    assert [image.patient for image in images[:3]] == ["0", "0", "1"]


def test_later_phantoms_are_other_patients_and_a_longer_set_starts_the_same() -> None:
    later = PHANTOMS.changed(first_patient=100)
    patients = [
        {(i.site, i.patient) for i in read_source(source, SourceInputs(size_px=32))} for source in (PHANTOMS, later)
    ]
    assert not patients[0] & patients[1]
    longer = list(read_source(PHANTOMS.changed(per_plane=5), SourceInputs(size_px=32)))
    for image in read_source(PHANTOMS, SourceInputs(size_px=32)):
        same = next(other for other in longer if other.name == image.name)
        np.testing.assert_array_equal(same.load()[0], image.load()[0])


def test_sources_are_put_together_in_order(tmp_path: Path) -> None:
    test = PhantomsConfig(role="test", sites=("C",), planes=PLANES, per_plane=1)
    config = CurateConfig(sources=(PHANTOMS, Hc18Config(role="validation"), test), image_size_px=32)
    pictures = curated(config, [None, heads(tmp_path / "hc18", 1), None])
    assert [p.row.split for p in pictures] == ["train"] * 12 + ["validation"] * 2 + ["test"] * 5
    assert {p.row.source for p in pictures} == {"phantoms", "hc18"}
    assert {p.pixels.shape for p in pictures} == {(32, 32)}
    with pytest.raises(ValueError, match="zip"):
        (curated(config, [None]))
