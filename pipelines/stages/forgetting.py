"""What tuning a CLIP gave and took: accuracy by prompts on the way from the old to the tuned weights."""

from pathlib import Path

from fulora.clip.config import ForgettingConfig
from fulora.data.manifest import ImageSet
from fulora.data.results import Forgetting
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def forgetting(
    out: Path, config: ForgettingConfig, images: ImageSet, before: ClipWeights | Source, after: ClipWeights
) -> Forgetting:
    """Accuracy by prompts at every share of the tuned weights, on the validation and on the test split of `images`."""
    from fulora.clip.forgetting import along_the_way
    from fulora.clip.loading import load_clip
    from fulora.data.results import write_table

    write_table(out, along_the_way(load_clip(before.path), load_clip(after.path), images, config))
    return Forgetting(out, "")
