"""The CLIP that a user names: a folder, the embedded one, or a model of open_clip's hub."""

import hashlib
from pathlib import Path

from fulora.data.weights import ClipWeights
from fulora.stage import RECORD, Source
from pipelines.backbones import ASSETS, DEMO
from pipelines.jobs.inputs import open_artifact, open_source
from pipelines.jobs.trainings import Training

HUB = "hub:"
"""Before the name of a published model, as open_clip names it: `hub:ViT-B-32/laion2b_s34b_b79k`."""


def open_clip(clip: str | Path | Training, work: Path) -> ClipWeights | Source:
    """Return the CLIP that a user names, or that `tune_clip` returned.

    Args:
        clip: a folder in open_clip's layout, `demo`, or `hub:MODEL/PRETRAINED`.

    Raises:
        MissingInputError: if there is no such folder.
        DamagedArtifactError: if files of a tuned CLIP have changed since it was made.
    """
    name = str(clip.path if isinstance(clip, Training) else clip)
    if name == DEMO:
        return open_source(ASSETS / "clip", work)
    if name.startswith(HUB):
        return Source(Path(name), hashlib.sha256(name.encode()).hexdigest()[:16])
    if (Path(name) / RECORD).is_file():
        return open_artifact(Path(name), ClipWeights, work)
    hint = f"Name a folder with open_clip_config.json and open_clip_model.safetensors, {HUB}MODEL/PRETRAINED, or {DEMO}"
    return open_source(Path(name), work, hint=hint)
