"""Embed the images of a set with a CLIP, once for all heads and prompts."""

from pathlib import Path
from typing import Annotated

from fulora.config import Runtime
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights
from fulora.engine import ProcessCache
from fulora.stage import Parts, Source, stage


def _part_names(images: ImageSet, clip: ClipWeights | Source, device: str) -> list[str]:
    from fulora.clip.embedding_parts import part_names

    return part_names(images)


def _make_part(
    out: Path, name: str, cache: ProcessCache, images: ImageSet, clip: ClipWeights | Source, device: str
) -> None:
    from fulora.clip.embedding_parts import make_part
    from fulora.clip.loading import load_clip

    loaded = cache.get(f"CLIP {clip.path} {clip.made} {device}", lambda: load_clip(clip.path).on(device))
    make_part(out, name, images, loaded.model)


@stage(version=2, resumes=True, parts=Parts(_part_names, _make_part))
def embed_images(
    out: Path, images: ImageSet, clip: ClipWeights | Source, device: Annotated[str, Runtime] = "auto"
) -> Embeddings:
    """Write the unit direction of every image of every split.

    Raises:
        DeviceError: if there is no such device.
    """
    from fulora.clip.embedding_parts import join_parts
    from fulora.clip.loading import load_clip

    join_parts(out, images, load_clip(clip.path).on(device).model)
    return Embeddings(out, "")
