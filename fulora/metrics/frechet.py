"""The Frechet distance of two sets of features, with what sampling alone gives at their size.

At a few hundred rows of a few hundred features it mostly measures how many rows there are: two samples of one
distribution are far apart. It is given because readers ask for it, never without the value of real against real images.
"""

import numpy as np
from jaxtyping import Float

Features = Float[np.ndarray, "_ d"]


def frechet_distance(x: Features, y: Features) -> float:
    """Squared Frechet distance of the normal distributions of two sets (Dowson and Landau 1982).

    |mx - my|^2 + tr(Cx) + tr(Cy) - 2 tr((Cx Cy)^(1/2)), as FID takes it of Inception features (Heusel et al. 2017). The
    last trace is the sum of the singular values of Xc Yc^T / sqrt((n - 1)(m - 1)) for centred rows: no matrix root is
    taken, and covariances without full rank need no jitter.

    Raises:
        ValueError: sets of other widths, or fewer than two rows in one.
    """
    if x.shape[1] != y.shape[1] or min(len(x), len(y)) < 2:
        raise ValueError(f"features have shapes {x.shape} and {y.shape}; both need 2 rows or more and equal columns")
    means = [rows.mean(axis=0, dtype=np.float64) for rows in (x, y)]
    roots = [_root(rows - mean) for rows, mean in zip((x, y), means, strict=True)]
    spread = sum(float((root**2).sum()) for root in roots)
    shared = float(np.linalg.svd(roots[0] @ roots[1].T, compute_uv=False).sum())
    return float(((means[0] - means[1]) ** 2).sum()) + spread - 2 * shared


def _root(centred: Features) -> Float[np.ndarray, "r d"]:
    """R with R^T R the covariance; at most d rows, so that the cost is linear in the number of images."""
    scaled = centred / np.sqrt(len(centred) - 1)
    return np.asarray(np.linalg.qr(scaled, mode="r") if len(scaled) > scaled.shape[1] else scaled)
