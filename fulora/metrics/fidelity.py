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


@dataclass(frozen=True)
class Sample:
    """Features of a set of images, and the group of each: its patient, or the synthetic image itself."""

    features: Features
    groups: Shaped[np.ndarray, " _"]

    def __post_init__(self) -> None:
        if len(self.groups) != len(self.features):
            raise ValueError(f"got {len(self.groups)} groups for {len(self.features)} rows: give one a row")


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


def domain_auc(x: Sample, y: Sample, *, seed: int, folds: int = 5) -> float:
    """How well a logistic regression distinguishes x from y on held-out groups: mean AUC over folds, 0.5 by chance.

    A group (a patient, or the patient a synthetic image was trained from) never lies in two folds. Features are
    standardised inside each fold (classifier two-sample test, Lopez-Paz & Oquab 2017).
    """
    _check_features(x.features, y.features)
    fewest = min(len(np.unique(x.groups)), len(np.unique(y.groups)))
    if not 2 <= folds <= fewest:
        raise ValueError(f"folds is {folds}; allowed is 2..{fewest}, the number of groups of the set with fewer groups")
    features, side = np.concatenate([x.features, y.features]), np.repeat([0, 1], [len(x.features), len(y.features)])
    splitter = StratifiedGroupKFold(folds, shuffle=True, random_state=seed)
    aucs = []
    for train, test in splitter.split(features, side, np.concatenate([x.groups, y.groups])):
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
    x: Sample, reference: Sample, other: Sample | None = None, *, bandwidth: float, level: float = 0.95
) -> Interval:
    """Unbiased MMD² (rbf) of x to the reference with an interval from the delete-one-group jackknife.

    The bootstrap would repeat rows, and repeated rows inflate the unbiased estimate; the jackknife repeats none.
    Variance: the sum over all samples of (K-1)/K times the squared deviations of the K leave-one-out values (Arvesen
    1969); the interval is normal. Groups are patients, or single synthetic images.

    Args:
        other: its MMD² to the reference is subtracted, with one jackknife over all three: above 0, `other` is closer.
    """
    value, without_x, without_reference = _leave_one_out(x, reference, bandwidth)
    samples, left_out = [x, reference], [without_x]
    if other is not None:
        value_of_other, without_other, minus = _leave_one_out(other, reference, bandwidth)
        value -= value_of_other
        without_reference = without_reference - minus
        samples.append(other)
        left_out.append(without_other)
    variance = sum((len(v) - 1) * float(np.var(v)) for v in (*left_out, without_reference))
    half = float(stats.norm.ppf(0.5 + level / 2)) * variance**0.5
    rows = sum(len(sample.features) for sample in samples)
    return Interval(value, value - half, value + half, n=rows, clusters=len(np.unique(reference.groups)))


def _leave_one_out(
    x: Sample, y: Sample, bandwidth: float
) -> tuple[float, Float[np.ndarray, " _"], Float[np.ndarray, " _"]]:
    """MMD² of x to y, and its values without each group of x and of y, from one sum over each kernel matrix."""

    def kernel(a: Features, b: Features) -> Float[np.ndarray, "_ _"]:
        return np.asarray(np.exp(_squared_distances(a, b) / (-2 * bandwidth**2)))

    _check_groups(x)
    _check_groups(y)
    codes_x, codes_y = (np.unique(sample.groups, return_inverse=True)[1] for sample in (x, y))
    within_x, without_x = _pairs_within(kernel(x.features, x.features), codes_x)
    within_y, without_y = _pairs_within(kernel(y.features, y.features), codes_y)
    across = kernel(x.features, y.features)
    n, m = across.shape
    across_without_x = (across.sum() - np.bincount(codes_x, across.sum(1))) / ((n - np.bincount(codes_x)) * m)
    across_without_y = (across.sum() - np.bincount(codes_y, across.sum(0))) / ((m - np.bincount(codes_y)) * n)
    return (
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


def _check_groups(sample: Sample) -> None:
    sizes = np.unique(sample.groups, return_counts=True)[1]
    if len(sample.groups) - sizes.max(initial=0) < 2:
        raise ValueError(
            f"{len(sample.groups)} rows in groups of {sorted(sizes.tolist())}: the jackknife needs two rows or more "
            "whichever group is left out"
        )
