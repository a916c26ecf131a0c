"""Images grouped by patient ("cluster") within sites ("strata"), and draws of whole patients."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

PerImage = Bool[np.ndarray, " n"] | Float[np.ndarray, " n"]


@dataclass(frozen=True)
class Clusters:
    """Images sorted by cluster; cluster k holds order[starts[k] : starts[k] + sizes[k]]; a pool is one stratum.

    Attributes:
        codes: the cluster number of every image, in the images' own order.
    """

    codes: Int[np.ndarray, " n"]
    order: Int[np.ndarray, " n"]
    starts: Int[np.ndarray, " k"]
    sizes: Int[np.ndarray, " k"]
    pools: list[Int[np.ndarray, " _"]]

    @property
    def unresampled(self) -> str:
        """Why no draw would differ from another; empty if draws do."""
        if len(self.sizes) < 2:
            return "no interval: a single patient"
        if max(map(len, self.pools)) < 2:
            return "no interval: a single patient a site"
        return ""

    @property
    def effective_size(self) -> float:
        """Independent images that carry as much as all, if those of a patient are all alike: n^2 / sum n_k^2 (Kish)."""
        return float(self.sizes.sum() ** 2 / (self.sizes**2).sum())

    def pick(self, rng: np.random.Generator) -> Int[np.ndarray, " k"]:
        """Cluster numbers drawn with replacement, as many in each stratum as it has."""
        return np.concatenate([pool[rng.integers(0, len(pool), len(pool))] for pool in self.pools])

    def images(self, picks: Int[np.ndarray, " k"]) -> Int[np.ndarray, " m"]:
        """Image indices of the picked clusters."""
        sizes = self.sizes[picks]
        ends = np.cumsum(sizes)
        shift = np.repeat(self.starts[picks] - (ends - sizes), sizes)
        return np.asarray(self.order[np.arange(ends[-1]) + shift])

    def weights(self, rng: np.random.Generator, draws: int) -> Float[np.ndarray, "draws n"]:
        """Weight of each image in each of many draws, in the images' own order.

        Of a stratum of K clusters, K - 1 are drawn with replacement and count K / (K - 1) each (Rao and Wu 1988): else
        the variance would be (K - 1) / K of what it is, too small where a site has few patients.
        """
        counts = np.empty((draws, len(self.sizes)))
        for pool in self.pools:
            size, drawn = len(pool), max(len(pool) - 1, 1)
            picks = rng.integers(0, size, (draws, drawn)) + size * np.arange(draws)[:, None]
            times = np.bincount(picks.ravel(), minlength=draws * size).reshape(draws, size)
            counts[:, pool] = times * (size / drawn)
        return np.asarray(counts[:, self.codes])

    def totals(self, per_image: Float[np.ndarray, " n"]) -> Float[np.ndarray, " k"]:
        """Sum of per-image values of every cluster."""
        return np.bincount(self.codes, weights=per_image, minlength=len(self.sizes))


def grouped(clusters: Shaped[np.ndarray, " n"], strata: Shaped[np.ndarray, " n"] | None = None) -> Clusters:
    """The clusters of images, from one name per image; without `strata` all clusters are one pool.

    Raises:
        ValueError: strata of another length, or a cluster in more than one stratum.
    """
    names, first, codes, sizes = np.unique(clusters, return_index=True, return_inverse=True, return_counts=True)
    order = np.argsort(codes, kind="stable")
    starts = np.cumsum(sizes) - sizes
    if strata is None:
        return Clusters(codes, order, starts, sizes, [np.arange(len(names))])
    if len(strata) != len(clusters):
        raise ValueError(f"strata has {len(strata)} images but clusters has {len(clusters)}: give one entry per image")
    of_cluster = strata[first]
    mixed = np.unique(clusters[strata != of_cluster[codes]])
    if len(mixed):
        raise ValueError(
            f"cluster {mixed[0]!s} lies in more than one stratum ({len(mixed)} such): "
            "a cluster is one patient of one site, so put the site into the cluster's name"
        )
    pools = [np.flatnonzero(of_cluster == stratum) for stratum in np.unique(of_cluster)]
    return Clusters(codes, order, starts, sizes, pools)


def paired_totals(
    correct_a: PerImage, correct_b: PerImage, clusters: Shaped[np.ndarray, " n"]
) -> tuple[Float[np.ndarray, " k"], Int[np.ndarray, " k"]]:
    """Per cluster: the sum of b - a over its images, and their number.

    Raises:
        ValueError: arrays of different length, or fewer than 2 clusters.
    """
    for name, values in (("correct_a", correct_a), ("correct_b", correct_b)):
        if len(values) != len(clusters):
            raise ValueError(
                f"{name} has {len(values)} images but clusters has {len(clusters)}: "
                "give one entry per image, in one order"
            )
    layout = grouped(clusters)
    if len(layout.sizes) < 2:
        raise ValueError(f"a clustered test needs 2 clusters or more, got {len(layout.sizes)}")
    return layout.totals(correct_b.astype(float) - correct_a.astype(float)), layout.sizes
