"""Recipes: read back from a picture's own file, or refused with what is wrong."""

import json
from pathlib import Path

import numpy as np
import pytest
from image_rows import synthetic_row
from PIL import Image as Pil
from PIL.PngImagePlugin import PngInfo
from pydantic import ValidationError

from fulora.data.image import Image
from fulora.data.pictures.embedded_metadata import png_info
from fulora.diffusion.sampling.recipe import Recipe, RecipeError, read_row

RECIPE = Recipe.model_validate(
    {
        "plane": "brain",
        "set_seed": 0,
        "index": 7,
        "attempt": 1,
        "seed": 2**62 + 1,
        "prompt": "a photo",
        "negative_prompt": "",
        "clip_skip": 1,
        "width": 8,
        "height": 8,
        "colour": "rgb",
        "sampler": "unipc",
        "steps": 20,
        "guidance_scale": 7.0,
        "guidance_interval": (0.0, 0.6),
        "backbone": {"name": "demo", "digest": "abc"},
        "loras": ({"name": "l.safetensors", "digest": "def", "strength": 0.8, "text_strength": 0.5},),
        "start": {"image_id": "p1", "sha256": "0", "strength": 0.75},
        "compute": {
            "device": "cpu",
            "hardware": "x86_64 AVX2",
            "precision": "fp32",
            "layout": "contiguous",
            "compiled": False,
            "batch_size": 20,
            "threads": 2,
        },
        "versions": {"torch": "2.6.0"},
    }
)


def written(path: Path, recipe: str) -> Image:
    row = synthetic_row(file_name="images/a.png", recipe=recipe, sha256="0")
    Pil.fromarray(np.zeros((8, 8), np.uint8)).save(path, pnginfo=png_info(row))
    return row


def test_a_recipe_comes_back_from_a_file_to_the_last_digit(tmp_path: Path) -> None:
    row = written(tmp_path / "a.png", RECIPE.model_dump_json())
    assert read_row(tmp_path / "a.png") == (row, RECIPE)
    assert read_row(tmp_path / "a.png")[1].seed == 2**62 + 1  # more digits than a float has


@pytest.mark.parametrize("recipe", ["", "{}", "[]", RECIPE.model_dump_json().replace('"steps"', '"step"')])
def test_a_row_without_a_recipe_of_this_version_is_refused(tmp_path: Path, recipe: str) -> None:
    written(tmp_path / "a.png", recipe)
    with pytest.raises(RecipeError, match=r"a\.png: holds no recipe of this version of fulora; only synthetic images"):
        read_row(tmp_path / "a.png")


@pytest.mark.parametrize("text", ["no json", "[]", "3", '{"steps": 20}'])
def test_text_that_is_no_row_is_refused(tmp_path: Path, text: str) -> None:
    info = PngInfo()
    info.add_text("fulora", text)
    Pil.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "a.png", pnginfo=info)
    with pytest.raises(RecipeError, match="holds no recipe of this version"):
        read_row(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["a.png", "a.jpg"])
def test_a_picture_without_a_recipe_is_refused(tmp_path: Path, name: str) -> None:
    written(tmp_path / "first.png", RECIPE.model_dump_json())
    with Pil.open(tmp_path / "first.png") as image:
        image.save(tmp_path / name)
    with pytest.raises(RecipeError, match=rf"{name}: does not say how it was made; .* saving it anew with other soft"):
        read_row(tmp_path / name)


def test_missing_files_and_files_that_are_no_pictures_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"words")
    with pytest.raises(OSError, match="cannot identify image file"):
        read_row(tmp_path / "a.png")
    with pytest.raises(FileNotFoundError):
        read_row(tmp_path / "b.png")


def test_a_recipe_is_of_a_synthetic_picture_only() -> None:
    with pytest.raises(ValidationError, match="Input should be True"):
        Recipe.model_validate(json.loads(RECIPE.model_dump_json()) | {"synthetic": False})
