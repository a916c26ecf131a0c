"""Draw synthetic images again from the recipes in their files."""

import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fulora import progress
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.lora.peft_folder import lora_path
from fulora.diffusion.sampling.compute import hardware
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.image_generator import (
    GeneratedImage,
    ImageGenerator,
    ImageRequest,
    build_generator,
    with_control,
)
from fulora.diffusion.sampling.inputs import ControlSource, GenerationInputs, LoraSource, lora_source, weights_digest
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed, Recipe, RecipeError, read_row
from fulora.diffusion.sets.job import SOURCES
from fulora.diffusion.sets.shard_writer import row_of
from fulora.json_files import read_json
from fulora.training.devices import pick_device


@dataclass(frozen=True)
class InputOverrides:
    """Where the inputs are, as far as a user says; what is None is looked for where the set says."""

    backbone: Path | str | None = None
    loras: tuple[Path, ...] | None = None
    start: Path | None = None
    device: str = "auto"


@dataclass(frozen=True)
class RegeneratedImage:
    """A picture drawn again.

    Attributes:
        path, row: of the first one.
        new: the row of what was drawn now, which tells the versions and hardware of now.
    """

    path: Path
    row: Image
    drawn: GeneratedImage
    new: Image


def regenerate(paths: Sequence[Path], given: InputOverrides, demo: Path) -> Iterator[RegeneratedImage]:
    """Draw images again, those of one set together.

    Args:
        demo: the embedded backbone.

    Raises:
        RecipeError: an image without a recipe, or whose backbone, LoRAs or start image are not found, or are not those
            that it was made with, or that was made on another kind of device.
    """
    groups: dict[str, list[tuple[Path, Image, Recipe]]] = defaultdict(list)
    for path in paths:
        row, recipe = read_row(path)
        groups[_group(path, recipe)].append((path, row, recipe))
    for group in groups.values():
        yield from _drawn_again(group, given, demo)


def _group(path: Path, recipe: Recipe) -> str:
    """Equal for pictures that can be drawn together: of one set, as far as can be seen, with one sampler."""
    alike = recipe.model_dump(mode="json", exclude={"plane", "prompt", "index", "attempt", "seed", "start", "mask"})
    home, strength = _home(path), recipe.start and recipe.start.strength
    return json.dumps([str(home), alike, strength, None if home else recipe.prompt], sort_keys=True)


def _drawn_again(
    group: Sequence[tuple[Path, Image, Recipe]], given: InputOverrides, demo: Path
) -> Iterator[RegeneratedImage]:
    recipes = [recipe for _, _, recipe in group]
    inputs = _find_inputs(recipes[0], group[0][0], given, demo)
    generator = _build_generator(recipes, inputs, given.device)
    if inputs.control is not None:
        masks = {(recipe.plane, recipe.index): _mask(*each) for each in group for recipe in each[2:]}
        generator = with_control(generator, inputs.control.path, lambda request: masks[request.plane, request.index])
    for first in range(0, len(group), generator.compute.batch_size):
        batch = group[first : first + generator.compute.batch_size]
        requests = [ImageRequest(recipe.plane, recipe.index, recipe.attempt) for _, _, recipe in batch]
        for (path, row, recipe), drawn in zip(batch, generator.generate(requests), strict=True):
            if drawn.seed != recipe.seed:
                raise RecipeError(f"{path}: its seed is not that of its plane and index; the record was changed")
            new = row_of(drawn, generator, inputs, Path(row.file_name).parent.as_posix())
            yield RegeneratedImage(path, row, drawn, new)


def _build_generator(recipes: Sequence[Recipe], inputs: GenerationInputs, device: str) -> ImageGenerator:
    first = recipes[0]
    here = pick_device(first.compute.device if device == "auto" else device)
    if here.type != first.compute.device:
        raise RecipeError(f"made on {first.compute.device}, and {here.type} draws other pixels; draw it again there")
    if hardware(here) != first.compute.hardware:
        progress.note(f"made on {first.compute.hardware}, and this is {hardware(here)}: last digits may differ")
    cfg = SamplingConfig(
        per_class=1,
        planes=tuple(dict.fromkeys(recipe.plane for recipe in recipes)),
        prompts={recipe.plane: recipe.prompt for recipe in recipes},
        negative_prompt=first.negative_prompt,
        image_size_px=(first.width, first.height),
        colour=first.colour,
        steps=first.steps,
        guidance_scale=first.guidance_scale,
        guidance_interval=first.guidance_interval,
        sampler=first.sampler,
        clip_skip=first.clip_skip,
        start_strength=first.start.strength if first.start else 1.0,
        batch_size=first.compute.batch_size,
        seed=first.set_seed,
        device=here.type,
    )
    compute = first.compute.changed(hardware=hardware(here))
    generator = build_generator(inputs.load(), cfg, compute)
    if inputs.start is None:
        return generator
    images = ImageSet(inputs.start, "")
    by_id = {row.image_id: row for row in images.iter_rows("train")}
    wanted = {(recipe.plane, recipe.index): _start(recipe, by_id, images.path) for recipe in recipes}
    return replace(generator, start_set=images, start_of=lambda request: wanted[request.plane, request.index])


def _start(recipe: Recipe, by_id: Mapping[str, Image], folder: Path) -> Image | None:
    """The row that a picture was drawn over."""
    if recipe.start is None:
        return None
    row = by_id.get(recipe.start.image_id)
    if row is None or row.sha256 != recipe.start.sha256:
        what = "is not in it" if row is None else "has other pixels there"
        raise RecipeError(
            f"{folder}: the picture was drawn over {recipe.start.image_id}, which {what}; give --start SET"
        )
    return row


def _mask(path: Path, row: Image, recipe: Recipe) -> UInt8[np.ndarray, "h w"]:
    """The mask that a picture was drawn on, of the set that it stands in."""
    home = _home(path)
    assert home is not None  # `_control` has looked
    mask = ImageSet(home, "").mask(row)
    if pixel_digest(mask) != recipe.mask:
        raise RecipeError(f"{home / row.split / row.mask_file}: is not the mask that {path} was drawn on")
    return mask


def _control(used: ControlUsed, path: Path, home: Path | None, said: Mapping[str, Any]) -> ControlSource:
    """The ControlNet of the set that a picture stands in."""
    if home is None or not said.get("control"):
        raise RecipeError(
            f"{path}: was drawn on a mask by the ControlNet {used.name} ({used.digest}), and the mask stands in its "
            "set: give the picture as it lies in the folder of its set"
        )
    found = home / said["control"]
    if not found.exists():
        raise RecipeError(f"{found}: the ControlNet {used.name} ({used.digest}) is not there; put it back, or make it")
    if (digest := weights_digest(found)) != used.digest:
        raise RecipeError(f"{found}: is another ControlNet ({digest}) than {path} was made with ({used.digest})")
    return ControlSource(found, used, {})


def _find_inputs(recipe: Recipe, path: Path, given: InputOverrides, demo: Path) -> GenerationInputs:
    """Those that were given, or stand where the set says, when they are those of the recipe by their digests."""
    home = _home(path)
    said: dict[str, Any] = read_json(home / SOURCES, dict[str, Any]) if home else {}
    loras = given.loras if given.loras is not None else tuple((home or path) / lora for lora in said.get("loras", ()))
    if len(loras) != len(recipe.loras):
        wanted = ", ".join(f"{lora.name} ({lora.digest})" for lora in recipe.loras) or "none"
        raise RecipeError(f"{path}: made with these LoRAs: {wanted}; give each with --lora FILE, in this order")
    start = given.start or ((home or path) / said["start"] if said.get("start") else None)
    if recipe.start is not None and start is None:
        raise RecipeError(f"{path}: was drawn over an image of a set that is not known here; give it with --start SET")
    backbone = _backbone(recipe.backbone, path, given, demo, home, said)
    return GenerationInputs(
        backbone=backbone,
        used=recipe.backbone,
        revision=said.get("revision") if isinstance(backbone, str) else None,
        architecture=said.get("architecture") if isinstance(backbone, Path) and backbone.is_file() else None,
        loras=tuple(_lora(file, used) for file, used in zip(loras, recipe.loras, strict=True)),
        start=start if recipe.start is not None else None,
        control=_control(recipe.control, path, home, said) if recipe.control else None,
    )


def _backbone(
    used: BackboneUsed, path: Path, given: InputOverrides, demo: Path, home: Path | None, said: Mapping[str, Any]
) -> Path | str:
    if given.backbone is not None:
        found = given.backbone
    elif weights_digest(demo) == used.digest:
        return demo
    elif home is not None:
        found = home / said["backbone"] if said["on_disk"] else str(said["backbone"])
    else:
        raise RecipeError(f"{path}: made with the backbone {used.name} ({used.digest}); give it with --backbone")
    if isinstance(found, Path) and not found.exists():
        raise RecipeError(f"{found}: the backbone {used.name} ({used.digest}) is not there; give it with --backbone")
    if (digest := weights_digest(found, said.get("revision"))) != used.digest:
        raise RecipeError(f"{found}: is another backbone ({digest}) than {path} was made with ({used.digest})")
    return found


def _lora(file: Path, used: LoraUsed) -> LoraSource:
    file = lora_path(file)
    if not file.is_file():
        raise RecipeError(f"{file}: the LoRA {used.name} ({used.digest}) is not there; give it with --lora FILE")
    found = lora_source(file, used.strength, used.text_strength, any_base=used.any_base)
    if found.used.digest != used.digest:
        raise RecipeError(
            f"{file}: is another LoRA ({found.used.digest}) than the picture was made with ({used.digest})"
        )
    return replace(found, used=used)


def _home(path: Path) -> Path | None:
    """The folder of the set that a picture stands in."""
    return next((folder for folder in path.resolve().parents if (folder / SOURCES).is_file()), None)
