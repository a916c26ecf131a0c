"""What a synthetic picture is made of, whole: it stands in its file and its row, and it can be drawn again from it."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from fulora.config import Config
from fulora.data.image import Image
from fulora.data.labels import Plane
from fulora.data.pictures.decoding import open_picture
from fulora.diffusion.config import Sampler
from fulora.diffusion.sampling.compute import Compute
from fulora.json_files import parse_json


class RecipeError(ValueError):
    """A picture that does not say how it was made, or cannot be made again here."""


class BackboneUsed(Config):
    """A backbone, by name and by the digest of its content (its revision, where it came from the hub)."""

    name: str
    digest: str


class LoraUsed(Config):
    """A LoRA, by the SHA-256 of its file (the first 16 digits), and how strongly it was put in.

    Attributes:
        any_base: whether it was asked for though it may be of another prediction type or family than the backbone;
            left out of what is written where it was not.
    """

    name: str
    digest: str
    strength: float
    text_strength: float
    any_base: bool = Field(default=False, exclude_if=lambda asked: not asked)


class StartUsed(Config):
    """The picture that one was drawn over (image-to-image): its id and pixel digest, and the share of steps done."""

    image_id: str
    sha256: str
    strength: float


class ControlUsed(Config):
    """A ControlNet that told the backbone where a structure is, by name and by the digest of its content."""

    name: str
    digest: str


class Recipe(Config):
    """Everything that the pixels of one synthetic image depend on.

    Attributes:
        set_seed, index, attempt: `seed` is blake2b of these and the plane.
        control, mask: the ControlNet, and the pixel digest of the mask that the image was drawn on; both are left out
            of what is written where there was none.
    """

    synthetic: Literal[True] = True
    plane: Plane
    set_seed: int
    index: int
    attempt: int
    seed: int
    prompt: str
    negative_prompt: str
    clip_skip: int
    width: int
    height: int
    colour: Literal["gray", "rgb"]
    sampler: Sampler
    steps: int
    guidance_scale: float
    guidance_interval: tuple[float, float]
    backbone: BackboneUsed
    loras: tuple[LoraUsed, ...]
    start: StartUsed | None
    control: ControlUsed | None = Field(default=None, exclude_if=lambda used: used is None)
    mask: str = Field(default="", exclude_if=lambda digest: not digest)
    compute: Compute
    versions: Mapping[str, str]


def read_row(path: Path) -> tuple[Image, Recipe]:
    """The row and the recipe that a PNG carries.

    Raises:
        RecipeError: a picture that says nothing of how it was made.
        FileNotFoundError, PictureFileError: missing; not a picture.
    """
    with open_picture(path) as image:
        text = image.info.get("fulora")
    if not isinstance(text, str):
        raise RecipeError(
            f"{path}: does not say how it was made; only a PNG as `fulora generate` wrote it does, and saving it anew "
            "with other software drops it"
        )
    try:
        row = Image.from_json(parse_json(text))
        return row, Recipe.model_validate_json(row.recipe)
    except ValueError as error:
        raise RecipeError(
            f"{path}: holds no recipe of this version of fulora; only synthetic images that it wrote are made again"
        ) from error
