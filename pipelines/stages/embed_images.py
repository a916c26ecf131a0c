"""Embed the images of a set with a CLIP, once for all heads and prompts."""

from pathlib import Path

from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights
from fulora.stage import Source, stage


@stage(version=2)
def embed_images(out: Path, images: ImageSet, clip: ClipWeights | Source) -> Embeddings:
    """Write the unit direction of every image of every split."""
    from fulora.clip.embed import image_directions
    from fulora.clip.loading import load_clip
    from fulora.data.embeddings import write_embeddings

    rows = images.rows()
    model = load_clip(clip.path).model
    write_embeddings(out, rows, image_directions(model, len(rows), lambda n: images.pixels(rows[n])).numpy())
    return Embeddings(out, "")
