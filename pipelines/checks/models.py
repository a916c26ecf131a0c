"""A study's backbone and CLIP, with the images that they are trained on where that is on site."""

from pathlib import Path

from fulora.diffusion.models.native_size import NativeSize
from pipelines.backbones import BackboneConfig, OnSite
from pipelines.checks.backbones import check_backbone
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources
from pipelines.checks.sizes import check_pretraining_sizes


def check_models(
    found: Findings, sources: Sources, where: str, config: BackboneConfig, work: Path, *, clip: bool = True
) -> NativeSize | None:
    """Check that weights are there, or can be trained. Returns what the backbone was made for, where that is known.

    Args:
        where: the config's path, such as `backbone`.
        work: the folder of artifacts.
        clip: whether the study reads the CLIP as well.
    """
    made = check_backbone(found, where, config, work, clip=clip)
    if isinstance(config, OnSite) and made is not None:
        images = sources.expect(f"{where}.images", config.images)
        check_pretraining_sizes(found, f"{where}.images", config.images, images.sizes("train"), made)
    return made
