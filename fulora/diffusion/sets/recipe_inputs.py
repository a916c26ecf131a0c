"""Find the inputs of a recipe: those of the user or those of the image's set, checked by their digests."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from fulora.diffusion.lora.peft_folder import lora_path
from fulora.diffusion.sampling.inputs import ControlSource, GenerationInputs, LoraSource, lora_source, weights_digest
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed, Recipe, RecipeError
from fulora.diffusion.sets.job import SOURCES
from fulora.json_files import read_json


@dataclass(frozen=True)
class InputOverrides:
    """Paths of inputs, and a device, instead of those that the set names; None leaves an input to the set."""

    backbone: Path | str | None = None
    loras: tuple[Path, ...] | None = None
    start: Path | None = None
    device: str = "auto"


def set_folder(path: Path) -> Path | None:
    """Return the folder of the set that an image lies in, or None."""
    return next((folder for folder in path.resolve().parents if (folder / SOURCES).is_file()), None)


def find_inputs(recipe: Recipe, path: Path, overrides: InputOverrides, demo: Path) -> GenerationInputs:
    """Return the inputs of the recipe of an image.

    Args:
        path: of the image.
        demo: the embedded backbone.

    Raises:
        RecipeError: if an input is missing, or has another digest.
    """
    folder = set_folder(path)
    sources: dict[str, Any] = read_json(folder / SOURCES, dict[str, Any]) if folder else {}
    loras = overrides.loras
    if loras is None:
        loras = tuple((folder or path) / lora for lora in sources.get("loras", ()))
    if len(loras) != len(recipe.loras):
        used = ", ".join(f"{lora.name} ({lora.digest})" for lora in recipe.loras) or "none"
        raise RecipeError(f"{path}: made with these LoRAs: {used}; give each with --lora FILE, in this order")
    start = overrides.start or ((folder or path) / sources["start"] if sources.get("start") else None)
    if recipe.start is not None and start is None:
        raise RecipeError(f"{path}: was generated from an image of an unknown set; give it with --start SET")
    backbone = _find_backbone(recipe.backbone, path, overrides, demo, folder, sources)
    return GenerationInputs(
        backbone=backbone,
        used=recipe.backbone,
        revision=sources.get("revision") if isinstance(backbone, str) else None,
        architecture=sources.get("architecture") if isinstance(backbone, Path) and backbone.is_file() else None,
        loras=tuple(_find_lora(file, used) for file, used in zip(loras, recipe.loras, strict=True)),
        start=start if recipe.start is not None else None,
        control=_find_control(recipe.control, path, folder, sources) if recipe.control else None,
    )


def _find_backbone(
    used: BackboneUsed,
    path: Path,
    overrides: InputOverrides,
    demo: Path,
    folder: Path | None,
    sources: Mapping[str, Any],
) -> Path | str:
    if overrides.backbone is not None:
        backbone = overrides.backbone
    elif weights_digest(demo) == used.digest:
        return demo
    elif folder is not None:
        backbone = folder / sources["backbone"] if sources["on_disk"] else str(sources["backbone"])
    else:
        raise RecipeError(f"{path}: made with the backbone {used.name} ({used.digest}); give it with --backbone")
    if isinstance(backbone, Path) and not backbone.exists():
        raise RecipeError(f"{backbone}: the backbone {used.name} ({used.digest}) is missing; give it with --backbone")
    if (digest := weights_digest(backbone, sources.get("revision"))) != used.digest:
        raise RecipeError(f"{backbone}: is another backbone ({digest}) than {path} was made with ({used.digest})")
    return backbone


def _find_lora(file: Path, used: LoraUsed) -> LoraSource:
    file = lora_path(file)
    if not file.is_file():
        raise RecipeError(f"{file}: the LoRA {used.name} ({used.digest}) is missing; give it with --lora FILE")
    source = lora_source(file, used.strength, used.text_strength, any_base=used.any_base)
    if source.used.digest != used.digest:
        raise RecipeError(
            f"{file}: is another LoRA ({source.used.digest}) than the image was made with ({used.digest})"
        )
    return replace(source, used=used)


def _find_control(used: ControlUsed, path: Path, folder: Path | None, sources: Mapping[str, Any]) -> ControlSource:
    if folder is None or not sources.get("control"):
        raise RecipeError(
            f"{path}: was generated on a mask by the ControlNet {used.name} ({used.digest}), and the mask is in its "
            "set: give the path of the image in the folder of its set"
        )
    control = folder / sources["control"]
    if not control.exists():
        raise RecipeError(f"{control}: the ControlNet {used.name} ({used.digest}) is missing; restore it")
    if (digest := weights_digest(control)) != used.digest:
        raise RecipeError(f"{control}: is another ControlNet ({digest}) than {path} was made with ({used.digest})")
    return ControlSource(control, used, {})
