"""The recipe of a synthetic image: all that its pixels depend on, kept in its file and row, to generate it again."""

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import Field

from fulora.config import Config
from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.pictures.decoding import open_picture
from fulora.diffusion.sampling.compute import Compute
from fulora.diffusion.sampling.config import Sampler
from fulora.json_files import parse_json

SETTINGS = {"negative_prompt", "clip_skip", "colour", "steps", "guidance_scale", "guidance_interval"}
"""The fields of a config that a recipe repeats."""


class RecipeError(ValueError):
    """An image has no recipe, or cannot be generated again from it."""


class BackboneUsed(Config):
    """A backbone, by name and by the digest of its content (of its revision, if it is from the hub)."""

    name: str
    digest: str


class LoraUsed(Config):
    """A LoRA, by the SHA-256 of its file (the first 16 digits), and its strengths.

    Attributes:
        any_base: used even if it is of another prediction type or family than the backbone; written only if set.
    """

    name: str
    digest: str
    strength: float
    text_strength: float
    any_base: bool = Field(default=False, exclude_if=lambda is_set: not is_set)


class StartUsed(Config):
    """The image that one started from (image-to-image): its id and pixel digest, and the share of steps done."""

    image_id: str
    sha256: str
    strength: float


class ControlUsed(Config):
    """A ControlNet that the image was conditioned by, by name and by the digest of its content."""

    name: str
    digest: str


class Recipe(Config):
    """Everything that the pixels of one synthetic image depend on.

    Attributes:
        set_seed, index, attempt: `seed` is blake2b of these and the plane.
        control, mask: the ControlNet, and the pixel digest of the mask that it was conditioned on; written only if
            there was one.
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
    """Read the row and the recipe in a PNG.

    Raises:
        RecipeError: if the PNG has no recipe.
        FileNotFoundError, PictureFileError: if the file is missing, or not a picture.
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
