"""The challenge protocols on masks in memory."""

import math

import numpy as np
import pytest

from fulora.biometry.ellipse import Ellipse, MeasurementError, ellipse_mask, perimeter
from fulora.metrics import psfhs_challenge
from fulora.metrics.segmentation import score_mask
from fulora.segmentation.challenge_protocols import score_hc18, score_kinds, score_plain, score_psfhs

HEAD = ellipse_mask(Ellipse(100.0, 80.0, 60.0, 48.0, 20.0), (160, 200))
LARGER = ellipse_mask(Ellipse(100.0, 80.0, 61.0, 49.0, 20.0), (160, 200))


def scene(shift: int = 0) -> np.ndarray:
    symphysis = ellipse_mask(Ellipse(80.0, 70.0, 30.0, 12.0, 30.0), (256, 256))
    head = ellipse_mask(Ellipse(150.0 + shift, 160.0, 50.0, 40.0, 0.0), (256, 256))
    return np.where(symphysis, 1, np.where(head, 2, 0)).astype(np.uint8)


def test_psfhs_scores_are_those_of_the_organisers() -> None:
    case = score_psfhs("a", scene(2), scene())
    expected = psfhs_challenge.score_pair(scene(2), scene())
    assert case.values == {name: getattr(expected, name) for name in score_kinds("psfhs", ())}
    assert (case.measured, case.measured_reference) == (expected.aop_pred, expected.aop_gt)
    assert case.failures == ()


def test_a_missing_file_is_an_empty_mask_with_one_failure() -> None:
    for case, empty in (
        (score_psfhs("a", None, scene()), score_psfhs("a", np.zeros_like(scene()), scene())),
        (score_plain("a", None, scene(), [1, 2]), score_plain("a", np.zeros_like(scene()), scene(), [1, 2])),
        (score_hc18("a", None, HEAD, 0.5), score_hc18("a", np.zeros_like(HEAD), HEAD, 0.5)),
    ):
        assert case.values == empty.values
        assert case.failures == ("no_file",)
        assert "no_file" not in empty.failures
        assert empty.failures


def test_plain_scores_have_the_unit_of_the_pixel_size() -> None:
    pixels, mm = (score_plain("a", scene(2), scene(), [2], size).values for size in (1.0, 0.5))
    assert pixels["dice"] == mm["dice"] == score_mask(scene(2) == 2, scene() == 2).dice
    assert mm["hd95"] == pytest.approx(pixels["hd95"] / 2)
    assert set(score_kinds("plain", [2])) == set(pixels)


def test_classes_without_a_reference_are_invented() -> None:
    case = score_plain("a", scene(), np.where(scene() == 2, 2, 0).astype(np.uint8), [2])
    assert case.invented == (1,)
    with pytest.raises(ValueError, match="nothing to score against"):
        score_kinds("plain", [])


def test_a_head_that_cannot_be_measured_has_the_largest_error() -> None:
    grown = score_hc18("a", LARGER, HEAD, 0.5)
    difference = 0.5 * (perimeter(61.0, 49.0) - perimeter(60.0, 48.0))
    assert grown.values["adf"] == pytest.approx(difference, abs=0.4)
    lost = score_hc18("a", np.zeros_like(HEAD), HEAD, 0.5)
    assert lost.failures == ("empty_mask",)
    assert lost.values["adf"] == lost.measured_reference
    assert lost.values["ellipse-hausdorff"] == pytest.approx(0.5 * math.hypot(160, 200))
    with pytest.raises(MeasurementError, match="empty_mask"):
        score_hc18("a", HEAD, np.zeros_like(HEAD), 0.5)
