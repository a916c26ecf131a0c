"""Merge real and synthetic images into a hybrid set that cannot leak."""

from pathlib import Path

from fulora.data.hybrid import MixConfig, chosen_synthetic
from fulora.data.manifest import ImageSet, Picture
from fulora.stage import stage


@stage(version=1)
def mix(out: Path, config: MixConfig, real: ImageSet, synthetic: ImageSet) -> ImageSet:
    """All real images of the training and validation splits, and the chosen synthetic ones.

    The real set's test split is checked for leaks but not copied: models are tested on the real set itself.
    """
    from fulora.data.manifest import check

    added = chosen_synthetic(real.rows(), synthetic.rows(), config)
    check([*real.rows(), *added], synthetic.tainted_by())
    kept = [row for row in real.rows() if row.split != "test"]
    pictures = [Picture(row, real.pixels(row)) for row in kept]
    pictures += [Picture(row, synthetic.pixels(row)) for row in added]
    ImageSet.write(out, pictures, tainted_by=synthetic.tainted_by())
    return ImageSet(out, "")
