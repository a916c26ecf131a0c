"""The Frechet distance against torchmetrics, its closed form, and what sampling alone gives."""

import warnings

import numpy as np
import pytest
import scipy.linalg
import torch
from torch import nn
from torchmetrics.image.fid import FrechetInceptionDistance
from torchmetrics.image.kid import KernelInceptionDistance

from fulora.metrics.fidelity import cmmd, kid, mmd2_unbiased
from fulora.metrics.frechet import frechet_distance


class Identity(nn.Module):
    """What torchmetrics takes for an Inception: features come as they are."""

    num_features = 8

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.reshape(len(x), -1)[:, :8]


def two(n: int = 60, m: int = 45, d: int = 8) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    mixing = rng.standard_normal((d, d))
    return rng.standard_normal((n, d)) @ mixing, 0.5 + 1.5 * rng.standard_normal((m, d))


def test_it_is_torchmetrics_distance() -> None:
    x, y = two()
    metric = FrechetInceptionDistance(feature=Identity(), normalize=True, input_img_size=(1, 1, 8))
    metric.set_dtype(torch.float64)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert frechet_distance(x, y) == pytest.approx(float(metric.compute()), rel=1e-6)


def test_kid_is_torchmetrics_kid() -> None:
    """With subsets of all images both are one polynomial MMD²."""
    x, y = (rows.astype(np.float32) for rows in two(45, 45))
    with warnings.catch_warnings():  # of how much memory it takes
        warnings.simplefilter("ignore", UserWarning)
        metric = KernelInceptionDistance(feature=Identity(), subsets=1, subset_size=45, normalize=True)
    metric.update(torch.from_numpy(x), real=True)
    metric.update(torch.from_numpy(y), real=False)
    assert kid(x, y, subsets=1, subset_size=45, seed=0)[0] == pytest.approx(float(metric.compute()[0]), rel=1e-4)
    assert mmd2_unbiased(x, y, kernel="polynomial") == pytest.approx(float(metric.compute()[0]), rel=1e-4)


@pytest.mark.parametrize(("n", "m"), [(60, 45), (6, 60), (6, 5)])
def test_it_is_the_formula_whatever_the_rank(n: int, m: int) -> None:
    x, y = two(n, m)
    a, b = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    values = scipy.linalg.eigvals(a @ b)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(a) + np.trace(b) - 2 * np.sqrt(values.clip(0)).real.sum()
    assert frechet_distance(x, y) == pytest.approx(expected, rel=1e-5)


def test_of_a_set_and_itself_it_is_nothing_and_of_shifted_ones_the_shift() -> None:
    x, _ = two()
    assert frechet_distance(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(x, x + 2) == pytest.approx(8 * 4)


def test_at_few_images_it_measures_how_few_they_are() -> None:
    """Why it never stands alone: samples of one distribution are the further apart the smaller they are. KID is not."""
    rng = np.random.default_rng(1)
    found = {n: frechet_distance(*rng.standard_normal((2, n, 64))) for n in (100, 400, 1600)}
    assert found[100] > 3 * found[400] > 9 * found[1600]
    value, spread = kid(*rng.standard_normal((2, 100, 64)), subsets=20, subset_size=50, seed=0)
    assert abs(value) < 3 * spread


def test_cmmd_is_its_definition_without_the_diagonal() -> None:
    rng = np.random.default_rng(2)
    x, y = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in rng.standard_normal((2, 12, 5)))
    kernel = [np.exp(-((a[:, None] - b[None]) ** 2).sum(-1) / 200) for a, b in ((x, x), (y, y), (x, y))]
    within = [(k.sum() - np.trace(k)) / (12 * 11) for k in kernel[:2]]
    assert cmmd(x, y) == pytest.approx(1000 * (sum(within) - 2 * kernel[2].mean()))


def test_what_has_no_covariance_is_refused() -> None:
    with pytest.raises(ValueError, match="both need 2 rows"):
        frechet_distance(np.zeros((1, 3)), np.zeros((4, 3)))
