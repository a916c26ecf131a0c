"""Mask scores against brute force, the reference's measured table, and the challenge organisers' own figures."""

import csv
from pathlib import Path

import cv2
import jaxtyping
import numpy as np
import pytest
import SimpleITK
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy import ndimage
from scipy.spatial.distance import cdist, directed_hausdorff

from fulora.metrics import distances
from fulora.metrics import segmentation as seg

FIXTURE = Path(__file__).parents[3].parent / "shared" / "data" / "psfhs_metric_fixture"


def _ellipse(centre: tuple[int, int], axes: tuple[int, int], angle_deg: float = 0, size: int = 256) -> np.ndarray:
    return cv2.ellipse(np.zeros((size, size), np.uint8), centre, axes, angle_deg, 0, 360, 1, -1).astype(bool)


def _surface_points(mask: np.ndarray, spacing: tuple[float, float]) -> np.ndarray:
    """Set pixels with a 4-neighbour that is not set (outside the image counts as not set), in mm."""
    points = [
        (row, column)
        for row, column in np.argwhere(mask)
        if not all(
            0 <= r < mask.shape[0] and 0 <= c < mask.shape[1] and mask[r, c]
            for r, c in ((row - 1, column), (row + 1, column), (row, column - 1), (row, column + 1))
        )
    ]
    return np.array(points) * spacing


def _check_against_brute_force(a: np.ndarray, b: np.ndarray, spacing: tuple[float, float]) -> None:
    points_a, points_b = _surface_points(a, spacing), _surface_points(b, spacing)
    distances = cdist(points_a, points_b)
    there, back = distances.min(1), distances.min(0)
    scores = seg.score_mask(a, b, spacing)
    expected = max(directed_hausdorff(points_a, points_b)[0], directed_hausdorff(points_b, points_a)[0])
    assert scores.hausdorff == pytest.approx(expected)
    assert scores.hd95 == pytest.approx(max(np.percentile(there, 95), np.percentile(back, 95)))
    assert scores.assd == pytest.approx((there.sum() + back.sum()) / (len(there) + len(back)))
    near = (there <= seg.TOLERANCE).sum() + (back <= seg.TOLERANCE).sum()
    assert scores.nsd == pytest.approx(near / (len(there) + len(back)))
    assert (scores.dice, scores.hausdorff) == (seg.dice(a, b), seg.hausdorff(a, b, spacing))
    assert not scores.missing


@pytest.mark.parametrize("spacing", [(1.0, 1.0), (0.2, 0.35)])
def test_two_ellipses_agree_with_brute_force(spacing: tuple[float, float]) -> None:
    a, b = _ellipse((120, 128), (70, 50), 20), _ellipse((124, 126), (66, 52), 25)
    _check_against_brute_force(a, b, spacing)


def test_holes_islands_and_borders_agree_with_brute_force() -> None:
    reference = _ellipse((128, 128), (70, 50))
    hole, island = reference.copy(), reference.copy()
    hole[120:135, 120:135] = False
    island[3:10, 3:10] = True
    for prediction in (hole, island, np.roll(reference, 75, axis=1), _ellipse((230, 128), (70, 50))):
        _check_against_brute_force(prediction, reference, (1.0, 1.0))


@settings(max_examples=40, deadline=None)
@given(arrays(bool, (7, 9)), arrays(bool, (7, 9)))
def test_random_masks_agree_with_brute_force(a: np.ndarray, b: np.ndarray) -> None:
    if a.any() and b.any():
        _check_against_brute_force(a, b, (1.0, 2.0))
    one, other = seg.score_mask(a, b), seg.score_mask(b, a)
    assert one.hd95 == other.hd95
    assert one.assd == pytest.approx(other.assd)
    assert one.dice == pytest.approx(2 * one.iou / (1 + one.iou))


@settings(deadline=None)
@given(st.integers(0, 60), st.integers(0, 60))
def test_a_shift_moves_the_surface_by_its_length(down: int, right: int) -> None:
    square = np.zeros((100, 100), dtype=bool)
    square[5:30, 5:30] = True
    moved = np.roll(square, (down, right), axis=(0, 1))
    assert seg.hausdorff(square, moved) == pytest.approx(np.hypot(down, right), abs=1e-9)


def test_perfect_masks() -> None:
    mask = _ellipse((128, 128), (70, 50))
    assert seg.score_mask(mask, mask) == seg.MaskScores(1.0, 1.0, 0.0, 0.0, 0.0, 1.0, missing=False)


@pytest.mark.parametrize("empty_reference", [True, False])
@pytest.mark.parametrize("empty_prediction", [True, False])
def test_an_empty_mask_scores_worst_and_never_vanishes(empty_prediction: bool, empty_reference: bool) -> None:
    prediction, reference = np.zeros((30, 40), dtype=bool), np.zeros((30, 40), dtype=bool)
    prediction[5:9, 5:9], reference[6:10, 6:10] = not empty_prediction, not empty_reference
    scores = seg.score_mask(prediction, reference, (0.5, 0.5))
    assert scores.missing == (empty_prediction or empty_reference)
    if scores.missing:
        assert scores == seg.MaskScores(0.0, 0.0, 25.0, 25.0, 25.0, 0.0, missing=True)


def test_bad_input_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    mask = np.ones((4, 4), dtype=bool)
    with pytest.raises(ValueError, match=r"shape \(4, 4\) but the reference \(4, 3\): resize"):
        seg.dice(mask, mask[:, :3])
    with pytest.raises(ValueError, match="dtypes uint8 and bool; give boolean masks"):
        seg.dice(mask.astype(np.uint8), mask)
    with pytest.raises(ValueError, match=r"spacing_mm is \(0\.1, 0\)"):
        seg.hausdorff(mask, mask, (0.1, 0))
    with pytest.raises(ValueError, match=r"tolerance is -1\.0; it must be 0 or more"):
        seg.score_mask(mask, mask, tolerance=-1.0)
    for values in (np.array([]), np.array([0.5, np.nan])):
        with pytest.raises(ValueError, match=f"{len(values)} images, of which . have a finite score; all must"):
            seg.summarise(values, values > 0, higher_is_better=True)


def test_a_summary_keeps_missing_masks_at_the_worst_value() -> None:
    mask = np.zeros((30, 40), dtype=bool)
    mask[5:15, 5:15] = True
    scores = [seg.score_mask(mask, mask)] * 18 + [seg.score_mask(np.zeros_like(mask), mask)] * 2
    missing = np.array([score.missing for score in scores])
    dice = seg.summarise(np.array([score.dice for score in scores]), missing, higher_is_better=True)
    distance = seg.summarise(np.array([score.assd for score in scores]), missing, higher_is_better=False)
    assert dice == seg.Summary(mean=0.9, median=1.0, worst_5=0.0, missing=2, n=20)
    assert (distance.mean, distance.worst_5, distance.missing) == (5.0, 50.0, 2)


def test_surface_distances_equal_those_of_simpleitk() -> None:
    """LabelContour, not fully connected, gives the 4-connected surface; the distance map is Maurer's."""
    rng = np.random.default_rng(4)
    for spacing in ((1.0, 1.0), (0.2, 0.35)):
        a, b = (cv2.blur(rng.random((120, 150)), (31, 31)) > 0.5 for _ in range(2))
        maps, surfaces = [], []
        for mask in (a, b):
            image = SimpleITK.GetImageFromArray(np.pad(mask.astype(np.uint8), 1))
            image.SetSpacing(spacing[::-1])
            contour = SimpleITK.LabelContour(image, fullyConnected=False)
            found = SimpleITK.SignedMaurerDistanceMap(contour, squaredDistance=False, useImageSpacing=True)
            maps.append(np.abs(SimpleITK.GetArrayFromImage(found))[1:-1, 1:-1])
            surfaces.append(SimpleITK.GetArrayFromImage(contour)[1:-1, 1:-1] > 0)
        there, back = seg.surface_distances(a, b, spacing)
        assert there == pytest.approx(maps[1][surfaces[0]], abs=1e-4)
        assert back == pytest.approx(maps[0][surfaces[1]], abs=1e-4)


def test_fast_distances_are_exact() -> None:
    mask = np.random.default_rng(1).random((900, 1150)) > 0.9999
    slow = ndimage.distance_transform_edt(~mask, sampling=0.3)
    assert np.abs(distances.distance_to(mask, (0.3, 0.3)) - slow).max() < 1e-9
    with pytest.raises(ValueError, match="the 3 x 4 mask is empty; a distance needs"):
        distances.distance_to(np.zeros((3, 4), dtype=bool))
    with pytest.raises(ValueError, match="the 3 x 4 mask is empty; a window needs"):
        distances.window_of(np.zeros((3, 4), dtype=bool))


@pytest.mark.real_data
def test_real_masks_reproduce_the_challenge_organisers_figures() -> None:
    """Their Dice adds 1 to both sides; their HD runs over regions, which for solid masks equals the surfaces' HD."""
    if not FIXTURE.is_dir():
        pytest.skip("the real masks are not here: ../shared/data/psfhs_metric_fixture is absent")
    with (FIXTURE / "reference_per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))[:60]
    solid = 0
    for row in rows:
        reference, prediction = (cv2.imread(str(FIXTURE / side / row["name"]), 0) == 2 for side in ("gt", "pred"))
        pixels = int(reference.sum()) + int(prediction.sum())
        dice = seg.dice(prediction, reference)
        assert (dice * pixels + 1) / (pixels + 1) == pytest.approx(float(row["dice_fh"]), abs=1e-6)
        solid += seg.hausdorff(prediction, reference) == pytest.approx(float(row["hd_fh"]), abs=1e-4)
    assert solid >= 0.9 * len(rows), f"the Hausdorff distance agrees for {solid} of {len(rows)} images"
