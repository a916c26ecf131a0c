"""Pairs, gates, opinions of an ensemble and their calibration."""

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from image_rows import image_row, synthetic_row
from PIL import Image as Pil
from sklearn.metrics import log_loss

from fulora.data.image import ImageSetError
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.pictures.image_and_mask import add_random_ellipses, join_pair, split_pair
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import Provenance
from fulora.segmentation.addition_config import AdditionConfig
from fulora.segmentation.additions import add_pairs, add_pseudo_labelled
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.mask_quality import MaskQualityConfig, find_mask_fault, fit_ellipse_mask
from fulora.segmentation.model import build_unet
from fulora.segmentation.pseudo_label import apply_temperature, choose_confidence, fit_temperature, predict_ensemble
from fulora.segmentation.pseudo_labels_file import PSEUDO, pseudo_labelled

FETAL = label_set("fetal_planes")

LIMITS = MaskQualityConfig()

DRAWN_BY = Provenance.unknown("LoRA l")


def drawn(a: float, b: float, at: tuple[int, int] = (50, 50), size: int = 100, angle: float = 20.0) -> np.ndarray:
    mask = np.zeros((size, size), np.uint8)
    cv2.ellipse(mask, (at, (2 * a, 2 * b), angle), 1, -1)
    return mask


def test_a_pair_is_split_into_what_was_joined() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (100, 100), dtype=np.uint8)
    gray, mask = split_pair(join_pair(pixels, drawn(30, 20) * 2))
    assert np.array_equal(gray, pixels)
    assert np.array_equal(mask, drawn(30, 20))


def test_random_ellipses_know_nothing_of_the_picture() -> None:
    images = np.random.default_rng(0).integers(0, 256, (4, 64, 64), dtype=np.uint8)
    pairs, again, other = (add_random_ellipses(images, seed) for seed in (1, 1, 2))
    assert np.array_equal(pairs, again)
    assert not np.array_equal(pairs, other)
    assert np.array_equal(pairs[..., 1], images)
    for number in (0, 2):
        assert 0.01 < (pairs[number, ..., 0] == 255).mean() < 0.8
        assert set(np.unique(pairs[number, ..., 0])) == {0, 255}
    assert np.array_equal(pairs[1, ..., 0], images[1])


@pytest.mark.parametrize(
    ("mask", "cause"),
    [
        (drawn(30, 24), None),
        (np.zeros((100, 100), np.uint8), "no_mask"),
        (drawn(30, 24, (40, 40)) | drawn(6, 5, (90, 90)), "several_pieces"),
        (drawn(8, 6), "share"),
        (drawn(36, 20), "axis_ratio"),
        (drawn(30, 24) & (np.indices((100, 100))[0] < 48).astype(np.uint8), "axis_ratio"),
        (drawn(34, 28, (50, 14)), "cut_by_border"),
    ],
)
def test_a_mask_that_is_no_head_is_named(mask: np.ndarray, cause: str | None) -> None:
    assert find_mask_fault(mask, LIMITS) == cause


def test_what_is_no_ellipse_is_named_and_an_ellipse_refines_to_itself() -> None:
    square = np.zeros((100, 100), np.uint8)
    square[25:70, 20:75] = 1
    assert find_mask_fault(square, LIMITS) == "not_an_ellipse"
    assert find_mask_fault(fit_ellipse_mask(square), LIMITS) is None
    assert (fit_ellipse_mask(drawn(30, 24)) != drawn(30, 24)).mean() < 0.01
    assert fit_ellipse_mask(np.zeros((9, 9), np.uint8)).sum() == 0


def test_the_temperature_is_the_one_with_the_least_log_loss() -> None:
    """Probabilities that are too sure by a known factor are calibrated back; checked with scikit-learn's log loss."""
    random = np.random.default_rng(0)
    logits = random.normal(0, 2, (1, 200, 200))
    truth = (random.random(logits.shape) < 1 / (1 + np.exp(-logits))).astype(np.uint8)
    shares = 1 / (1 + np.exp(-3 * logits))
    found = fit_temperature(list(shares), list(truth))
    assert found == pytest.approx(3.0, rel=0.05)
    losses = {
        t: log_loss(truth.ravel(), apply_temperature(shares, t).ravel()) for t in (found * 0.8, found, found * 1.25)
    }
    assert min(losses, key=losses.__getitem__) == found
    assert fit_temperature([], []) == 1.0


def test_the_cut_gives_the_wanted_dice_on_held_out_images() -> None:
    sure, right = [0.9, 0.8, 0.7, 0.6], [0.99, 0.97, 0.95, 0.2]
    assert choose_confidence(sure, right, 0.95) == (0.7, True)
    assert choose_confidence(sure, right, 0.98) == (0.8, True)
    cut, reached = choose_confidence(sure, [0.5] * 4, 0.95)
    assert not reached
    assert sum(value >= cut for value in sure) == 1


def test_one_member_agrees_with_itself_and_two_others_do_not() -> None:
    models = [build_unet(UnetConfig(encoder="resnet18", seed=seed)).eval() for seed in (0, 1)]
    image = np.random.default_rng(0).integers(0, 256, (64, 64), dtype=np.uint8)
    (alone,) = predict_ensemble(models[:1], [image])
    (both,) = predict_ensemble(models, [image])
    assert 0 <= both.agreement <= alone.agreement <= 1
    assert both.confidence(1.0) <= both.agreement


# --- sets


def image_set(folder: Path, splits: list[str], *, masks: bool = True, synthetic: bool = False) -> ImageSet:
    made = []
    for number, split in enumerate(splits):
        name = f"{folder.name}{number}"
        row = synthetic_row(name, split=split) if synthetic else image_row(name, split=split, patient=name)
        pixels = (drawn(30, 24, (45 + number, 50)) * 150 + number + sum(map(ord, folder.name)) % 50).astype(np.uint8)
        made.append(Picture(row, pixels, drawn(30, 24, (45 + number, 50)) if masks else None))
    ImageSet.write(folder, made, labels=FETAL)
    return ImageSet(folder, "")


def coloured(images: ImageSet) -> ImageSet:
    rows = images.rows("train")
    for number, row in enumerate(rows):
        mask = drawn(30, 24, (45 + number, 50)) if number % 2 == 0 else drawn(5, 4)
        pixels = join_pair(images.pixels(row), mask)
        Pil.fromarray(pixels).save(images.path / row.split / row.file_name)
        rows[number] = row.model_copy(update={"sha256": pixel_digest(pixels)})
    ImageSet.write_rows(images.path, rows, labels=FETAL)
    return images


def test_pairs_pass_the_mask_quality_rules_or_are_counted(tmp_path: Path) -> None:
    labelled = image_set(tmp_path / "real", ["train", "train", "validation", "test"])
    pairs = coloured(image_set(tmp_path / "made", ["train"] * 6, masks=False, synthetic=True))
    (tmp_path / "out").mkdir()
    add_pairs(tmp_path / "out", AdditionConfig(images=5), labelled, pairs, DRAWN_BY)
    out = ImageSet(tmp_path / "out", "")
    record = json.loads((out.path / PSEUDO).read_text())
    assert record["rejected"] == {"share": 3}
    assert pseudo_labelled(out) == {"made0", "made2", "made4"}
    assert record["accept_rate"] == 0.5
    assert [row.split for row in out.rows()] == ["train"] * 5 + ["validation", "test"]
    assert out.provenance() == DRAWN_BY
    (tmp_path / "all").mkdir()
    add_pairs(tmp_path / "all", AdditionConfig(images=5, filtered=False, refine=False), labelled, pairs, DRAWN_BY)
    everything = ImageSet(tmp_path / "all", "")
    assert len(pseudo_labelled(everything)) == 5
    by_id = {row.image_id: everything.mask(row) for row in everything.rows("train")}
    assert all(np.array_equal(by_id[name], drawn(5, 4)) for name in ("made1", "made3", "made5") if name in by_id)


def test_gray_pictures_are_no_pairs(tmp_path: Path) -> None:
    labelled = image_set(tmp_path / "real", ["train", "validation"])
    gray = image_set(tmp_path / "made", ["train"], masks=False, synthetic=True)
    (tmp_path / "out").mkdir()
    with pytest.raises(ImageSetError, match=r"made0: is gray, not RGB: generate pairs with colour=rgb"):
        add_pairs(tmp_path / "out", AdditionConfig(), labelled, gray, DRAWN_BY)


def test_drawn_masks_are_calibrated_on_validation_images(tmp_path: Path) -> None:
    labelled = image_set(tmp_path / "real", ["train", "train", "validation", "validation"])
    others = image_set(tmp_path / "others", ["train"] * 3, masks=False)
    teacher = build_unet(UnetConfig(encoder="resnet18", image_size_px=64)).eval()
    (tmp_path / "out").mkdir()
    add_pseudo_labelled(
        tmp_path / "out", AdditionConfig(images=2, filtered=False), labelled, others, [teacher], DRAWN_BY
    )
    record = json.loads((tmp_path / "out" / PSEUDO).read_text())
    assert len(record["accepted"]) == 2
    assert record["calibration"]["validation_images"] == 2
    assert 0 <= record["calibration"]["validation_dice_all"] <= 1
    assert record["calibration"]["temperature"] > 0


def test_without_candidates_or_validation_images_nothing_is_added(tmp_path: Path) -> None:
    labelled = image_set(tmp_path / "real", ["train", "train"])
    teacher = build_unet(UnetConfig(encoder="resnet18")).eval()
    with pytest.raises(ImageSetError, match="there are no images to add"):
        add_pseudo_labelled(tmp_path, AdditionConfig(), labelled, labelled, [teacher], DRAWN_BY)
    others = image_set(tmp_path / "others", ["train"], masks=False)
    with pytest.raises(ImageSetError, match="no labelled validation images to calibrate"):
        add_pseudo_labelled(tmp_path, AdditionConfig(), labelled, others, [teacher], DRAWN_BY)
