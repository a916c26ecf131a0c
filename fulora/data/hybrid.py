"""Hybrid sets: real images and a stated number of synthetic ones per real one."""

from collections.abc import Sequence

from pydantic import Field

from fulora.config import Config
from fulora.data.labels import PLANES
from fulora.data.manifest import Image, ManifestError
from fulora.environment import derive_seed


class MixConfig(Config):
    """How a hybrid set is mixed.

    Attributes:
        ratio: synthetic images per real training image, in each plane.
        seed: decides which synthetic images are taken.
    """

    ratio: float = Field(default=1.0, ge=0)
    seed: int = 0


def chosen_synthetic(real: Sequence[Image], synthetic: Sequence[Image], config: MixConfig) -> list[Image]:
    """The synthetic rows to add: `ratio` times as many as real training rows, plane by plane.

    Raises:
        ManifestError: a plane has too few synthetic images.
    """
    chosen: list[Image] = []
    for plane in PLANES:
        wanted = round(config.ratio * sum(row.plane == plane and row.split == "train" for row in real))
        offered = [row for row in synthetic if row.plane == plane]
        if wanted > len(offered):
            raise ManifestError(
                f"{plane}: ratio {config.ratio:g} wants {wanted} synthetic images and there are {len(offered)}; "
                "lower mix.ratio or raise generate.per_class"
            )
        ranked = sorted(offered, key=lambda row: derive_seed("mix", config.seed, row.image_id))
        chosen += ranked[:wanted]
    return chosen
