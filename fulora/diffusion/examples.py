"""What is trained on: gray pictures with a caption each, and the facts about them that a LoRA file keeps."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import UInt8


@dataclass(frozen=True)
class Examples:
    """Gray pictures, 0 to 255, each (height, width) of its own size, and one caption each."""

    pictures: Sequence[UInt8[np.ndarray, "h w"]]
    captions: Sequence[str]


@dataclass(frozen=True)
class Facts:
    """What a LoRA was trained on, for its file and its model card.

    Attributes:
        base_model: the backbone's hub id or folder name, never a whole path; "" where it is not known.
        base_digest: of its content, hexadecimal.
        captions: how many images each caption had.
        patients: how many patients the images show; 0 where it is not known.
        images_digest: of the pixels of all images, hexadecimal.
    """

    base_model: str = ""
    base_digest: str = ""
    captions: Counter[str] = field(default_factory=Counter)
    patients: int = 0
    images_digest: str = ""
