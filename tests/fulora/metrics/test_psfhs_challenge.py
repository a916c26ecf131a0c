"""The challenge's scores against the organisers' own figures, SimpleITK's filters, and each quirk by itself."""

import csv
import math
from pathlib import Path

import cv2
import jaxtyping
import numpy as np
import pytest
import SimpleITK

from fulora.metrics import psfhs_challenge as challenge


def _drawn(*, ps: bool = True, fh: bool = True, shift: int = 0, size: int = 256) -> np.ndarray:
    labels = np.zeros((size, size), np.uint8)
    if fh:
        cv2.ellipse(labels, (150 + shift, 160), (70, 55), 60, 0, 360, 2, -1)
    if ps:
        cv2.ellipse(labels, (70 + shift, 75), (26, 13), 35, 0, 360, 1, -1)
    return labels


def _by_simpleitk(prediction: np.ndarray, reference: np.ndarray) -> tuple[float, float]:
    """HD and ASD of two binary masks by ITK's filters."""
    a, b = (SimpleITK.GetImageFromArray(mask.astype(np.uint8)) for mask in (prediction, reference))
    hausdorff = SimpleITK.HausdorffDistanceImageFilter()
    hausdorff.Execute(a, b)
    maps = [
        np.abs(SimpleITK.GetArrayFromImage(SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False)))
        for image in (a, b)
    ]
    edges = [found == 0 for found in maps]
    total = maps[0][edges[1]].sum() + maps[1][edges[0]].sum()
    return hausdorff.GetHausdorffDistance(), float(total / (edges[0].sum() + edges[1].sum()))


@pytest.mark.parametrize("seed", range(4))
def test_distances_of_ragged_masks_equal_those_of_simpleitk(seed: int) -> None:
    """Masks with holes, islands and parts at the border, on an image that is not square."""
    rng = np.random.default_rng(seed)
    pair = [(cv2.blur(rng.random((90, 130)), (15, 15)) > 0.5).astype(np.uint8) * 2 for _ in range(2)]
    for labels in pair:
        labels[40:52, 60:75] = 1
    found = challenge.score_pair(*pair)
    for name, masks in (("fh", [labels == 2 for labels in pair]), ("all", [labels > 0 for labels in pair])):
        expected = pytest.approx(_by_simpleitk(*masks), abs=1e-5)
        assert (getattr(found, f"hd_{name}"), getattr(found, f"asd_{name}")) == expected


def test_dice_adds_one_and_a_hole_costs_hd_little() -> None:
    reference, prediction = _drawn(), _drawn()
    prediction[150:165, 140:155] = 0
    scores = challenge.score_pair(prediction, reference)
    pixels = int((reference == 2).sum())
    assert scores.dice_fh == (2 * (pixels - 225) + 1) / (2 * pixels - 225 + 1)
    assert scores.hd_fh == 8
    assert scores.aop == 0


def test_a_missing_class_and_two_missing_angles() -> None:
    reference = _drawn()
    scores = challenge.score_pair(_drawn(ps=False), reference)
    assert (scores.dice_ps, scores.hd_ps, scores.asd_ps) == (0, 100, 100)
    assert scores.aop == scores.aop_gt > 60
    assert scores.dice_fh == 1
    tiny = np.where(reference == 2, 2, 0).astype(np.uint8)
    tiny[10:12, 10:12] = 1
    both_fail = challenge.score_pair(tiny, tiny)
    assert (both_fail.aop_gt, both_fail.aop_pred, both_fail.aop) == (0, 0, 0)


def test_the_mirrored_end_inside_the_head_takes_slope_zero() -> None:
    labels = np.zeros((256, 256), np.uint8)
    cv2.ellipse(labels, (150, 160), (70, 55), 60, 0, 360, 2, -1)
    cv2.ellipse(labels, (110, 150), (40, 14), 20, 0, 360, 1, -1)
    assert 0 < challenge.angle_of_progression(labels) < 180


def test_an_end_on_the_centre_of_the_head_has_no_angle() -> None:
    """With slope 0 the tangent's foot is then the end itself."""
    symphysis, head = ((0.0, 0.0), (10.0, 20.0), 90.0), ((10.0, 0.0), (30.0, 40.0), 90.0)
    assert challenge._angle(symphysis, head) == 0


def test_the_score_is_the_published_formula() -> None:
    reference = _drawn()
    perfect = challenge.score_pair(reference, reference)
    assert challenge.aggregate([perfect])["S"] == 1
    rows = [perfect, challenge.score_pair(_drawn(shift=6), reference)]
    means = challenge.aggregate(rows)
    dice, hd, asd = (
        np.mean([means[f"{kind}_{name}"] for name in ("fh", "ps", "all")]) for kind in ("dice", "hd", "asd")
    )
    expected = 0.25 * dice + 0.125 * (1 - hd / 100) + 0.125 * (1 - asd / 100) + 0.5 * (1 - means["aop"] / 180)
    assert means["S"] == pytest.approx(expected, abs=1e-8)
    assert set(means) == {*challenge.METRICS, "S"}


def test_the_score_of_a_published_row_is_the_published_score() -> None:
    """FH-PS-AOP's final leaderboard, entry Gregor Koe, 0.939; the board's own rounding and errors are some 0.003."""
    means = {
        "aop": 6.484,
        "dice_fh": 0.931,
        "dice_ps": 0.858,
        "dice_all": 0.924,
        "hd_fh": 12.504,
        "hd_ps": 7.745,
        "hd_all": 13.291,
        "asd_fh": 3.874,
        "asd_ps": 2.537,
        "asd_all": 3.499,
    }
    assert challenge.score_of(means) == pytest.approx(0.939, abs=0.003)


@pytest.mark.parametrize(
    ("prediction", "reference", "said"),
    [
        (_drawn(), _drawn()[:200], r"shape \(256, 256\) but the reference \(200, 256\); resize"),
        (_drawn() * 2, _drawn(), "the prediction holds the label 4"),
        (_drawn(), _drawn(ps=False), "the reference has no pixel of class ps"),
        (np.full((9, 9), 1, np.uint8), np.eye(9, dtype=np.uint8) + 1, "class ps fills the whole image"),
    ],
)
def test_what_the_challenge_cannot_score_is_named(
    monkeypatch: pytest.MonkeyPatch, prediction: np.ndarray, reference: np.ndarray, said: str
) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # else the run's shape checks speak first
    with pytest.raises(challenge.ChallengeError, match=said):
        challenge.score_pair(prediction, reference)


def test_no_images_have_no_score() -> None:
    with pytest.raises(challenge.ChallengeError, match="no images"):
        challenge.aggregate([])


@pytest.mark.real_data
def test_the_organisers_figures_are_reproduced(data_root: Path) -> None:
    """Every figure of all 300 images: Dice, HD and ASD to 1e-6, angles to 1e-4 degrees."""
    folder = data_root / "psfhs_metric_fixture"
    with (folder / "reference_per_image.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 300
    scores = []
    for row in rows:
        pair = [cv2.imread(str(folder / side / row["name"]), cv2.IMREAD_GRAYSCALE) for side in ("pred", "gt")]
        scores.append(challenge.score_pair(*pair))
        for name in ("aop_gt", "aop_pred", *challenge.METRICS):
            tolerance = 1e-4 if name.startswith("aop") else 1e-6
            assert math.isclose(getattr(scores[-1], name), float(row[name]), rel_tol=0, abs_tol=tolerance), (row, name)
    assert challenge.aggregate(scores)["S"] == pytest.approx(0.940865, abs=1e-6)
