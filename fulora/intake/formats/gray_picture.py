"""Read a gray picture of any supported format."""

from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora.data.pictures.embedded_metadata import mark_in
from fulora.intake.formats.decode import read_gray, read_gray_and_info
from fulora.intake.formats.metaimage import one_channel, read_mha
from fulora.intake.raw_image import SourceError


def read_picture(path: Path) -> UInt8[np.ndarray, "h w"]:
    """Read a picture as (height, width) gray, 0 to 255: by `read_gray`, or one channel by `read_mha`; raises alike."""
    return one_channel(read_mha(path), path) if path.suffix.lower() == ".mha" else read_gray(path)


def read_real_picture(path: Path, content: bytes | None = None) -> UInt8[np.ndarray, "h w"]:
    """Read a picture as `read_picture`, and refuse one that is marked as synthetic.

    Raises:
        SourceError: as `read_picture`, or if the file is marked as synthetic by fulora or the IPTC, or holds the
            parameters that Stable Diffusion's web interface writes.
    """
    if content is None and path.suffix.lower() == ".mha":
        return read_picture(path)
    pixels, info = read_gray_and_info(path, content)
    mark = mark_in(info)
    from_web_interface = "Sampler:" in str(info.get("parameters", ""))
    if from_web_interface or (mark is not None and mark.synthetic):
        raise SourceError(f"{path}: is marked as synthetic; synthetic images are mixed in, not curated")
    return pixels
