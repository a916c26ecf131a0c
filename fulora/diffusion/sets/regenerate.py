"""Generate synthetic images again from the recipes in their files, and compare them with the files."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from jaxtyping import UInt8

from fulora import progress
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.pictures.decoding import open_picture
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.sampling.compute import DTYPES, hardware
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.image_generator import (
    GeneratedImage,
    ImageGenerator,
    ImageRequest,
    build_generator,
    with_control,
)
from fulora.diffusion.sampling.inputs import GenerationInputs
from fulora.diffusion.sampling.recipe import SETTINGS, Recipe, RecipeError, read_row
from fulora.diffusion.sets.recipe_inputs import InputOverrides, find_inputs, set_folder
from fulora.diffusion.sets.shard_writer import row_of, write_image
from fulora.training.devices import pick_device


@dataclass(frozen=True)
class RegeneratedImage:
    """An image generated again.

    Attributes:
        path, row: of the first one.
        image, new_row: of the second one; the row has the versions and hardware of now.
    """

    path: Path
    row: Image
    image: GeneratedImage
    new_row: Image

    def write(self, path: Path) -> tuple[str, bool]:
        """Write the image, and compare it with the first one: a description, and whether their pixels are equal."""
        before = self.path.read_bytes()
        with open_picture(self.path) as first:
            pixels = np.asarray(first)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_image(path, self.new_row, self.image)
        if path.read_bytes() == before:
            return "the same bytes", True
        if np.array_equal(pixels, self.image.pixels):
            if self.new_row == self.row:
                return "the same pixels; the file was saved anew since it was written", True
            return "the same pixels; the record differs, for versions or hardware are others", True
        if pixels.shape != self.image.pixels.shape:
            return "another size; the file was changed since it was written", False
        difference = np.abs(pixels.astype(int) - self.image.pixels)
        return f"{(difference > 0).mean():.2%} of the pixels differ, by {difference.max()} gray levels at most", False


def regenerate(paths: Sequence[Path], overrides: InputOverrides, demo: Path) -> Iterator[RegeneratedImage]:
    """Generate images again, those of one set together.

    Args:
        demo: the embedded backbone.

    Raises:
        RecipeError: if an image has no recipe, if inputs of one are missing or have other digests, or if it was made
            on another kind of device.
    """
    groups: dict[str, list[tuple[Path, Image, Recipe]]] = defaultdict(list)
    for path in paths:
        row, recipe = read_row(path)
        groups[_group(path, recipe)].append((path, row, recipe))
    for group in groups.values():
        yield from _regenerate_group(group, overrides, demo)


def _group(path: Path, recipe: Recipe) -> str:
    """Equal for images that one generator can make: of one set, as far as can be seen, with one sampler."""
    shared = recipe.model_dump(mode="json", exclude={"plane", "prompt", "index", "attempt", "seed", "start", "mask"})
    folder, strength = set_folder(path), recipe.start and recipe.start.strength
    return json.dumps([str(folder), shared, strength, None if folder else recipe.prompt], sort_keys=True)


def _regenerate_group(
    group: Sequence[tuple[Path, Image, Recipe]], overrides: InputOverrides, demo: Path
) -> Iterator[RegeneratedImage]:
    recipes = [recipe for _, _, recipe in group]
    inputs = find_inputs(recipes[0], group[0][0], overrides, demo)
    generator = _build_generator(recipes, inputs, overrides.device)
    if inputs.control is not None:
        masks = {(recipe.plane, recipe.index): _read_mask(path, row, recipe) for path, row, recipe in group}
        generator = with_control(generator, inputs.control.path, lambda request: masks[request.plane, request.index])
    for first in range(0, len(group), generator.compute.batch_size):
        batch = group[first : first + generator.compute.batch_size]
        requests = [ImageRequest(recipe.plane, recipe.index, recipe.attempt) for _, _, recipe in batch]
        for (path, row, recipe), image in zip(batch, generator.generate(requests), strict=True):
            if image.seed != recipe.seed:
                raise RecipeError(f"{path}: its seed is not that of its plane and index; the record was changed")
            new_row = row_of(image, generator, inputs, Path(row.file_name).parent.as_posix())
            yield RegeneratedImage(path, row, image, new_row)


def _build_generator(recipes: Sequence[Recipe], inputs: GenerationInputs, device_name: str) -> ImageGenerator:
    first = recipes[0]
    device = pick_device(first.compute.device if device_name == "auto" else device_name)
    if device.type != first.compute.device:
        raise RecipeError(f"made on {first.compute.device}, and {device.type} gives other pixels; use the same")
    if hardware(device) != first.compute.hardware:
        progress.note(f"made on {first.compute.hardware}, and this is {hardware(device)}: last digits may differ")
    cfg = SamplingConfig(
        **{name: getattr(first, name) for name in SETTINGS},
        per_class=1,
        planes=tuple(dict.fromkeys(recipe.plane for recipe in recipes)),
        prompts={recipe.plane: recipe.prompt for recipe in recipes},
        image_size_px=(first.width, first.height),
        sampler=first.sampler,
        start_strength=first.start.strength if first.start else 1.0,
        batch_size=first.compute.batch_size,
        seed=first.set_seed,
        device=device.type,
    )
    pipe = inputs.load(DTYPES[first.compute.precision])
    generator = build_generator(pipe, cfg, first.compute.changed(hardware=hardware(device)))
    if inputs.start is None:
        return generator
    images = ImageSet(inputs.start, "")
    by_id = {row.image_id: row for row in images.iter_rows("train")}
    starts = {(recipe.plane, recipe.index): _start_row(recipe, by_id, images.path) for recipe in recipes}
    return replace(generator, start_set=images, start_of=lambda request: starts[request.plane, request.index])


def _start_row(recipe: Recipe, by_id: Mapping[str, Image], folder: Path) -> Image | None:
    if recipe.start is None:
        return None
    row = by_id.get(recipe.start.image_id)
    if row is None or row.sha256 != recipe.start.sha256:
        what = "is not in it" if row is None else "has other pixels there"
        raise RecipeError(
            f"{folder}: the image was generated from {recipe.start.image_id}, which {what}; give --start SET"
        )
    return row


def _read_mask(path: Path, row: Image, recipe: Recipe) -> UInt8[np.ndarray, "h w"]:
    folder = set_folder(path)
    assert folder is not None  # `find_inputs` has refused an image outside of its set
    mask = ImageSet(folder, "").mask(row)
    if pixel_digest(mask) != recipe.mask:
        raise RecipeError(f"{folder / row.split / row.mask_file}: is not the mask that {path} was generated on")
    return mask
