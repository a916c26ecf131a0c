"""What tuning a CLIP gave and took: accuracy by prompts on the way from the old to the tuned weights."""

from pathlib import Path

from fulora.clip.config import ForgettingConfig
from fulora.data.manifest import ImageSet
from fulora.data.results import Forgetting
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=1)
def forgetting(
    out: Path, config: ForgettingConfig, images: ImageSet, before: ClipWeights | Source, after: ClipWeights
) -> Forgetting:
    """Accuracy by prompts at every share of the tuned weights, on the validation and on the test split of `images`.

    Raises:
        LabelSetError: one of the CLIPs was tuned on other classes, or the prompts are for others.
    """
    from fulora.clip.forgetting import along_the_way
    from fulora.clip.loading import load_clip
    from fulora.clip.tuned import refuse_tuned_on_others
    from fulora.data.results import write_table

    for clip in (before, after):
        refuse_tuned_on_others(clip.path, images.label_set(), whose=f"the images {images.path.name}")
    write_table(out, along_the_way(load_clip(before.path), load_clip(after.path), images, config))
    return Forgetting(out, "")
