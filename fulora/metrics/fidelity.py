"""How alike two sets of images are, from feature vectors (one row an image).

Unbiased kernel distances only: the Frechet distance mostly measures sample size at a few hundred images. Always show
the real-vs-real value of two halves of the real set beside a real-vs-synthetic one.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8
from scipy import stats
from scipy.spatial.distance import pdist
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.model_selection import StratifiedGroupKFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fulora.metrics.statistics import Interval

Features = Float[np.ndarray, "_ d"]
Kernel = Callable[[Features, Features], Float[np.ndarray, "_ _"]]

BLOCK_ROWS = 1024
MEDIAN_ROWS = 1000
THUMBNAIL_PX, HISTOGRAM_BINS, SPECTRUM_BINS = 16, 32, 16
MIN_SIZE_PX = 2 * SPECTRUM_BINS

PIXEL_FEATURE_NAMES: tuple[str, ...] = (
    *(f"intensity_{row:02d}_{column:02d}" for row in range(THUMBNAIL_PX) for column in range(THUMBNAIL_PX)),
    *(f"histogram_{level:02d}" for level in range(HISTOGRAM_BINS)),
    *(f"spectrum_{band:02d}" for band in range(SPECTRUM_BINS)),
)


def mmd2_unbiased(
    x: Features, y: Features, *, kernel: Literal["rbf", "polynomial"] = "rbf", bandwidth: float | None = None
) -> float:
    """Unbiased squared maximum mean discrepancy (Gretton et al. 2012, eq. 3). About 0, possibly below, if alike.

    rbf: exp(-|x-y|^2 / (2 bandwidth^2)), by default with the median distance of the pooled rows (of at most 1000 of
    each set, evenly spaced). polynomial: (x.y / d + 1)^3, which takes no bandwidth. Kernels are summed in blocks.
    """
    _check_features(x, y)
    if kernel == "polynomial":
        if bandwidth is not None:
            raise ValueError(f"bandwidth is {bandwidth} but the polynomial kernel has none: leave it out")
        return _mmd2(x, y, polynomial_kernel)
    width = median_distance(x, y) if bandwidth is None else bandwidth
    if width <= 0:
        raise ValueError(f"bandwidth is {width}; it must be positive (None takes the median distance)")
    return _mmd2(x, y, lambda a, b: np.exp(_squared_distances(a, b) / (-2 * width**2)))


def median_distance(x: Features, y: Features) -> float:
    """Median Euclidean distance within the pooled rows (at most 1000 of each set, evenly spaced)."""
    _check_features(x, y)
    some = [rows[np.linspace(0, len(rows) - 1, min(len(rows), MEDIAN_ROWS)).astype(int)] for rows in (x, y)]
    median = float(np.median(pdist(np.concatenate(some))))
    if median == 0:
        raise ValueError("the median distance of the rows is 0: most rows are identical, look for duplicated images")
    return median


def cmmd(x: Features, y: Features) -> float:
    """CMMD (Jayasumana et al. 2024): 1000 MMD^2 of unit CLIP directions, Gaussian kernel of bandwidth 10.

    Unbiased, so about 0 for sets that are alike; their code keeps the diagonal, a biased estimate.
    """
    return 1000 * mmd2_unbiased(x, y, bandwidth=10.0)


def kid(x: Features, y: Features, *, subsets: int, subset_size: int, seed: int) -> tuple[float, float]:
    """Kernel distance KID (Binkowski et al. 2018): mean and sd (ddof 0) of the polynomial MMD^2 over random subsets."""
    _check_features(x, y)
    largest = min(len(x), len(y))
    if subsets < 1 or not 2 <= subset_size <= largest:
        raise ValueError(
            f"kid got subsets={subsets}, subset_size={subset_size}; allowed are subsets >= 1 and "
            f"2 <= subset_size <= {largest}, the smaller set"
        )
    rng = np.random.default_rng(seed)
    values = [
        _mmd2(
            x[rng.choice(len(x), subset_size, replace=False)],
            y[rng.choice(len(y), subset_size, replace=False)],
            polynomial_kernel,
        )
        for _ in range(subsets)
    ]
    return float(np.mean(values)), float(np.std(values))


def domain_auc(
    x: Features,
    y: Features,
    groups_x: Shaped[np.ndarray, " _"],
    groups_y: Shaped[np.ndarray, " _"],
    *,
    seed: int,
    folds: int = 5,
) -> float:
    """How well a logistic regression tells x from y on held-out groups: mean AUC over folds (0.5 = not at all).

    A group (a patient, or the patient a synthetic image was trained from) never lies in two folds. Features are
    standardised inside each fold (classifier two-sample test, Lopez-Paz & Oquab 2017).
    """
    _check_features(x, y)
    if len(groups_x) != len(x) or len(groups_y) != len(y):
        raise ValueError(f"got {len(groups_x)} and {len(groups_y)} groups for {len(x)} and {len(y)} rows: one a row")
    fewest = min(len(np.unique(groups_x)), len(np.unique(groups_y)))
    if not 2 <= folds <= fewest:
        raise ValueError(f"folds is {folds}; allowed is 2..{fewest}, the number of groups of the set with fewer groups")
    features, side = np.concatenate([x, y]), np.repeat([0, 1], [len(x), len(y)])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    aucs = []
    for train, test in splitter.split(features, side, np.concatenate([groups_x, groups_y])):
        if len(np.unique(side[test])) < 2 or len(np.unique(side[train])) < 2:
            raise ValueError(f"a fold holds images of one set only: groups are too few or too uneven for {folds} folds")
        model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
        model.fit(features[train], side[train])
        aucs.append(roc_auc_score(side[test], model.decision_function(features[test])))
    return float(np.mean(aucs))


def pixel_features(images: UInt8[np.ndarray, "n h w"]) -> Float[np.ndarray, "n d"]:
    """Plain features that need no network, about within -1..1, named by `PIXEL_FEATURE_NAMES`.

    16 x 16 area-averaged intensities (0..1); square root of the share of pixels in each of 32 grey levels; log10 of the
    mean power in 16 rings of spatial frequency up to Nyquist, divided by 6. Compare sets of one image size only.
    """
    height, width = images.shape[1:]
    if min(height, width) < MIN_SIZE_PX:
        raise ValueError(f"images are {height} x {width} px; both sides need {MIN_SIZE_PX} px or more: enlarge them")
    rings = _rings(height, width)
    return np.array([_features_of_one(image, rings) for image in images]).reshape(-1, len(PIXEL_FEATURE_NAMES))


def _features_of_one(image: UInt8[np.ndarray, "h w"], rings: Int[np.ndarray, "h w"]) -> Float[np.ndarray, " d"]:
    thumbnail = cv2.resize(image / 255.0, (THUMBNAIL_PX, THUMBNAIL_PX), interpolation=cv2.INTER_AREA)
    share = np.bincount(image.ravel() // (256 // HISTOGRAM_BINS), minlength=HISTOGRAM_BINS) / image.size
    power = np.abs(np.fft.fft2(image / 255.0)) ** 2 / image.size
    inside = (rings >= 0) & (rings < SPECTRUM_BINS)
    ring_power = np.bincount(rings[inside], weights=power[inside]) / np.bincount(rings[inside])
    return np.concatenate([np.asarray(thumbnail).ravel(), np.sqrt(share), np.log10(ring_power + 1e-6) / 6])


def _rings(height: int, width: int) -> Int[np.ndarray, "h w"]:
    """Ring of every FFT coefficient: r in (k, k+1] / 32 cycles per pixel is ring k; the mean (r = 0) is -1."""
    radius = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.fftfreq(width)[None, :])
    return np.asarray(np.ceil(radius * 2 * SPECTRUM_BINS).astype(int) - 1)


def _mmd2(x: Features, y: Features, kernel: Kernel) -> float:
    return _within(x, kernel) + _within(y, kernel) - 2 * _kernel_sum(x, y, kernel) / (len(x) * len(y))


def _within(x: Features, kernel: Kernel) -> float:
    """Mean kernel value over pairs of different rows."""
    diagonal = sum(float(kernel(row[None], row[None])[0, 0]) for row in x)
    return (_kernel_sum(x, x, kernel) - diagonal) / (len(x) * (len(x) - 1))


def _kernel_sum(x: Features, y: Features, kernel: Kernel) -> float:
    starts = range(0, len(x), BLOCK_ROWS)
    return float(sum(kernel(x[start : start + BLOCK_ROWS], y).sum(dtype=np.float64) for start in starts))


def polynomial_kernel(x: Features, y: Features) -> Float[np.ndarray, "_ _"]:
    """(x.y / d + 1)^3 of every row of x and of y, the kernel of KID."""
    return np.asarray((x @ y.T / x.shape[1] + 1) ** 3)


def _squared_distances(x: Features, y: Features) -> Float[np.ndarray, "_ _"]:
    return np.asarray(np.maximum((x**2).sum(1)[:, None] + (y**2).sum(1)[None, :] - 2 * x @ y.T, 0))


def _check_features(x: Features, y: Features) -> None:
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"features have shapes {x.shape} and {y.shape}; both need 2 rows or more and equal columns")
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        raise ValueError("features hold NaN or infinite values: find the images they come from before comparing sets")


def mmd2_jackknife(
    x: Features,
    groups_x: Shaped[np.ndarray, " _"],
    y: Features,
    groups_y: Shaped[np.ndarray, " _"],
    *,
    bandwidth: float,
    level: float = 0.95,
) -> Interval:
    """Unbiased MMD² (rbf) of x to y with an interval from the two-sample delete-one-group jackknife.

    The bootstrap would repeat rows, and repeated rows inflate the unbiased estimate; the jackknife repeats none.
    Variance: the sum over both samples of (K-1)/K times the squared deviations of the K leave-one-out values (Arvesen
    1969); the interval is normal. Groups are patients, or single synthetic images.
    """
    return _jackknifed([(x, groups_x)], (y, groups_y), bandwidth, level)


def mmd2_difference(
    a: Features,
    groups_a: Shaped[np.ndarray, " _"],
    b: Features,
    groups_b: Shaped[np.ndarray, " _"],
    y: Features,
    groups_y: Shaped[np.ndarray, " _"],
    *,
    bandwidth: float,
    level: float = 0.95,
) -> Interval:
    """MMD²(a, y) minus MMD²(b, y) with one jackknife over all three samples: above 0, b is closer."""
    return _jackknifed([(a, groups_a), (b, groups_b)], (y, groups_y), bandwidth, level)


def _jackknifed(
    sets: list[tuple[Features, Shaped[np.ndarray, " _"]]],
    reference: tuple[Features, Shaped[np.ndarray, " _"]],
    bandwidth: float,
    level: float,
) -> Interval:
    """The first set's distance to the reference, minus those of the further sets."""
    for features, groups in (*sets, reference):
        _check_groups(features, groups)
    parts = [_without_each_group(*one, *reference, bandwidth) for one in sets]
    signs = [1.0] + [-1.0] * (len(sets) - 1)
    value = sum(sign * part.value for sign, part in zip(signs, parts, strict=True))
    of_reference = np.sum([sign * part.without_y for sign, part in zip(signs, parts, strict=True)], axis=0)
    variance = sum((len(v) - 1) * float(np.var(v)) for v in (*(part.without_x for part in parts), of_reference))
    half = float(stats.norm.ppf(0.5 + level / 2)) * variance**0.5
    rows = len(reference[0]) + sum(len(features) for features, _ in sets)
    return Interval(value, value - half, value + half, n=rows, clusters=len(np.unique(reference[1])))


@dataclass(frozen=True)
class _Distances:
    """MMD² of x to y, and what it would be without each group of x, and without each group of y."""

    value: float
    without_x: Float[np.ndarray, " _"]
    without_y: Float[np.ndarray, " _"]


def _without_each_group(
    x: Features,
    groups_x: Shaped[np.ndarray, " _"],
    y: Features,
    groups_y: Shaped[np.ndarray, " _"],
    bandwidth: float,
) -> _Distances:
    """All leave-one-group-out values from sums over each kernel matrix, so the cost is that of one MMD²."""

    def kernel(a: Features, b: Features) -> Float[np.ndarray, "_ _"]:
        return np.asarray(np.exp(_squared_distances(a, b) / (-2 * bandwidth**2)))

    codes_x, codes_y = (np.unique(groups, return_inverse=True)[1] for groups in (groups_x, groups_y))
    within_x, without_x = _pairs_within(kernel(x, x), codes_x)
    within_y, without_y = _pairs_within(kernel(y, y), codes_y)
    across = kernel(x, y)
    left_x, left_y = len(x) - np.bincount(codes_x), len(y) - np.bincount(codes_y)
    across_without_x = (across.sum() - np.bincount(codes_x, across.sum(1))) / (left_x * len(y))
    across_without_y = (across.sum() - np.bincount(codes_y, across.sum(0))) / (left_y * len(x))
    return _Distances(
        within_x + within_y - 2 * float(across.mean()),
        without_x + within_y - 2 * across_without_x,
        within_x + without_y - 2 * across_without_y,
    )


def _pairs_within(
    kernel: Float[np.ndarray, "n n"], codes: Int[np.ndarray, " n"]
) -> tuple[float, Float[np.ndarray, " _"]]:
    """Mean of the kernel over pairs of different rows; and the same without the rows of each group."""
    np.fill_diagonal(kernel, 0)
    n, left = len(kernel), len(kernel) - np.bincount(codes)
    of_group = np.bincount(codes, kernel.sum(1))
    inside_group = np.bincount(codes, (kernel * (codes[:, None] == codes)).sum(1))
    return float(kernel.sum() / (n * (n - 1))), (kernel.sum() - 2 * of_group + inside_group) / (left * (left - 1))


def _check_groups(features: Features, groups: Shaped[np.ndarray, " _"]) -> None:
    if len(groups) != len(features):
        raise ValueError(f"got {len(groups)} groups for {len(features)} rows: one a row")
    sizes = np.unique(groups, return_counts=True)[1]
    if len(groups) - sizes.max(initial=0) < 2:
        raise ValueError(
            f"{len(features)} rows in groups of {sorted(sizes.tolist())}: the jackknife needs two rows or more "
            "whichever group is left out"
        )
