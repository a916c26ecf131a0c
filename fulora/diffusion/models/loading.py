"""Load any Stable Diffusion backbone, and save one as a diffusers folder."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DiffusionPipeline,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers import CLIPTextModel, CLIPTextModelWithProjection
from transformers.utils import logging as transformers_logging

from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.checkpoint_file import identify_checkpoint, rename_weights, write_configs
from fulora.diffusion.models.diffusers_folder import find_weight_variant, read_config
from fulora.diffusion.models.latent_scaling import check_scaling
from fulora.diffusion.models.loaded_weights import check_finite, check_unused_weights
from fulora.diffusion.models.noise_schedules import check_schedule
from fulora.files import apply_umask
from fulora.json_files import read_json

LAYOUT = "model_index.json, scheduler/, unet/, vae/, text_encoder/, tokenizer/, for SDXL text_encoder_2/, tokenizer_2/"

ALLOWED = (
    f"Give a folder in diffusers' layout ({LAYOUT}) or one .safetensors checkpoint under the original names "
    "(model.diffusion_model., first_stage_model., cond_stage_model. or conditioner.)"
)

CLASSES: dict[str, Any] = {
    "StableDiffusionPipeline": StableDiffusionPipeline,
    "StableDiffusionXLPipeline": StableDiffusionXLPipeline,
}
OMITTED: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False},
    "StableDiffusionXLPipeline": {"add_watermarker": False},
}
"""Parts of a pipeline that alter generated pictures, which are left out."""

ENCODERS: dict[str, dict[str, Any]] = {
    "StableDiffusionPipeline": {"text_encoder": CLIPTextModel},
    "StableDiffusionXLPipeline": {"text_encoder": CLIPTextModel, "text_encoder_2": CLIPTextModelWithProjection},
}


class BackboneError(ValueError):
    """A backbone that cannot be loaded, images that do not fit it, or a prompt that it cannot read."""


@contextmanager
def quiet() -> Iterator[None]:
    """Without diffusers' and transformers' bars and harmless notes, such as the one about LoRAs for the UNet alone."""
    libraries = (diffusers_logging, transformers_logging)
    levels = [library.get_verbosity() for library in libraries]
    shown = [library.is_progress_bar_enabled() for library in libraries]
    for library in libraries:
        library.set_verbosity_error()
        library.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", FutureWarning)  # diffusers prints whole configs that it changes
            yield
    finally:
        for library, level, bars in zip(libraries, levels, shown, strict=True):
            library.set_verbosity(level)
            if bars:
                library.enable_progress_bar()


def load_backbone(
    source: Path | str, *, revision: str | None = None, architecture: Architecture | None = None
) -> Pipeline:
    """Load a pipeline in fp32 on the CPU, whatever precision its weights are stored in.

    The safety checker, made for photographs, is left out: it would black out ultrasound. So is SDXL's watermark.

    Args:
        source: a folder in diffusers' layout, one `.safetensors` checkpoint under the original names (where it holds
            averaged weights beside the plain ones, the plain ones are read), or a hub id such as `owner/name`. Only
            a hub id needs internet.
        revision: branch, tag or commit on the hub.
        architecture: of a checkpoint file; needed for SD 2.x, whose files do not declare what they predict.

    Raises:
        BackboneError: if the source is missing, not a Stable Diffusion, or a hub id that cannot be downloaded.
    """
    path = Path(source)
    if revision is not None and path.exists():
        raise BackboneError(f"{source}: revision={revision!r} is for hub ids, and this is on the disk; leave it out")
    if architecture is not None and not path.is_file():
        raise BackboneError(
            f"{source}: architecture={architecture!r} is for checkpoint files; a folder or hub id says what it is"
        )
    with quiet():
        if path.is_file():
            pipe = _from_file(path, architecture)
        else:
            pipe = _from_folder(path if path.is_dir() else download_backbone(source, revision), source)
    for module in networks(pipe):
        _align(module.eval())
    pipe.set_progress_bar_config(disable=True)
    return pipe


def _align(module: torch.nn.Module) -> None:
    """Copy weights at unaligned addresses in a file, where arithmetic on a CPU gives different last digits."""
    for parameter in module.parameters():
        if parameter.data_ptr() % 64:
            parameter.data = parameter.data.clone()


def networks(pipe: Pipeline) -> list[torch.nn.Module]:
    """Return the UNet, the autoencoder and the text encoders (two for SDXL)."""
    names = ("unet", "vae", "text_encoder", "text_encoder_2")
    return [module for name in names if (module := getattr(pipe, name, None)) is not None]


def download_backbone(source: Path | str, revision: str | None) -> Path:
    """Return the folder of a hub id's files, downloaded unless they are cached.

    Raises:
        BackboneError: if the source is not a hub id, or cannot be downloaded.
    """
    if not isinstance(source, str) or source.count("/") != 1 or source.startswith(("/", ".")):
        raise BackboneError(f"{source}: there is no such folder or file. {ALLOWED}")
    try:
        return Path(DiffusionPipeline.download(source, revision=revision, use_safetensors=True, safety_checker=None))
    except (OSError, ValueError) as error:
        pinned = f" --revision {revision}" if revision else ""
        raise BackboneError(
            f"{source}: cannot be downloaded from the hub: {_reason(error)}. Without internet, run "
            f"`hf download {source}{pinned} --local-dir FOLDER` on a machine that has it, copy FOLDER here "
            f"({LAYOUT}) and give its path instead"
        ) from error


def _from_folder(folder: Path, source: Path | str) -> Pipeline:
    try:
        name = _class_name(folder)
        pipe: Pipeline = CLASSES[name].from_pretrained(
            folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=torch.float32,
            **_networks(folder, name),
            **OMITTED[name],
        )
        _check_complete(pipe)
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"{source}: cannot be loaded as a Stable Diffusion: {_reason(error)}. {ALLOWED}") from error
    return pipe


def _class_name(folder: Path) -> str:
    index = folder / "model_index.json"
    if not index.is_file():
        raise ValueError("the folder has no model_index.json")
    entries = read_json(index, dict[str, Any])
    for part in sorted(folder.glob("*/config.json")):
        read_config(part)
    name = entries.get("_class_name")
    if name not in tuple(CLASSES):
        raise ValueError(f"its model_index.json says {name}, not {' or '.join(CLASSES)}")
    schedule = read_config(folder / "scheduler" / "scheduler_config.json")
    classes = [str(part) for part in (_scheduler_class(entries), schedule.get("_class_name")) if part]
    check_schedule(schedule, *classes)
    autoencoder = read_config(folder / "vae" / "config.json")
    if autoencoder.get("_class_name", "AutoencoderKL") != "AutoencoderKL":
        raise ValueError(f"its autoencoder is {autoencoder['_class_name']}; only AutoencoderKL is read")
    check_scaling(autoencoder)
    _check_channels(read_config(folder / "unet" / "config.json"), autoencoder)
    return str(name)


def _check_channels(unet: Mapping[str, Any], autoencoder: Mapping[str, Any]) -> None:
    """Refuse UNets that read a mask or a picture beside the latents."""
    read, latent = unet.get("in_channels", 4), autoencoder.get("latent_channels", 4)
    if read != latent:
        raise ValueError(
            f"unet/config.json: in_channels is {read!r}, and the autoencoder's latents have {latent}: inpainting "
            "backbones are not supported, nor those for editing or depth; give a plain text-to-image one"
        )


def _scheduler_class(index: Mapping[str, Any]) -> object:
    entry = index.get("scheduler")
    return entry[1] if isinstance(entry, list) and len(entry) == 2 else ""


def _networks(folder: Path, name: str) -> dict[str, torch.nn.Module]:
    """Load each from full-precision weights, else the only variant; transformers fills in missing ones at random."""
    given: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "dtype": torch.float32}
    loaded: dict[str, torch.nn.Module] = {}
    for part, kind in ENCODERS[name].items():
        loaded[part], report = kind.from_pretrained(
            folder / part, variant=find_weight_variant(folder / part, "model"), output_loading_info=True, **given
        )
        if missing := sorted(report["missing_keys"]):
            raise ValueError(f"{part} lacks {len(missing)} weights, such as {missing[0]}")
        check_unused_weights(part, report["unexpected_keys"])
    for part, kind in {"unet": UNet2DConditionModel, "vae": AutoencoderKL}.items():
        variant = find_weight_variant(folder / part, "diffusion_pytorch_model")
        loaded[part], report = kind.from_pretrained(folder / part, variant=variant, output_loading_info=True, **given)
        check_unused_weights(part, report["unexpected_keys"])
    return loaded


def _from_file(path: Path, architecture: Architecture | None) -> Pipeline:
    """Configs and tokenizers are those of the architecture, so nothing is downloaded."""
    try:
        checkpoint = identify_checkpoint(path, architecture)
        name = "StableDiffusionXLPipeline" if checkpoint.architecture == "sdxl" else "StableDiffusionPipeline"
        with TemporaryDirectory() as folder:
            write_configs(checkpoint, Path(folder))
            file = str(rename_weights(path, checkpoint, Path(folder)))
            pipe: Pipeline = CLASSES[name].from_single_file(
                file, config=folder, local_files_only=True, dtype=torch.float32, **OMITTED[name]
            )
        _check_complete(pipe)
    except (OSError, ValueError, RuntimeError, SafetensorError, SingleFileComponentError) as error:
        raise BackboneError(f"{path}: cannot be loaded as a Stable Diffusion: {_reason(error)}") from error
    return pipe


def _check_complete(pipe: Pipeline) -> None:
    """diffusers leaves weights that it did not find without content, and transformers makes a tokenizer of nothing."""
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = getattr(pipe, name, None)
        if tokenizer is not None and (len(tokenizer) < 10 or tokenizer.model_max_length > 10**6):
            raise ValueError(f"{name}/ lacks vocab.json, merges.txt or tokenizer_config.json")
    for module in networks(pipe):
        if missing := [name for name, parameter in module.named_parameters() if parameter.is_meta]:
            raise ValueError(f"{type(module).__name__} lacks {len(missing)} weights, such as {missing[0]}")
        check_finite(module)


def _reason(error: Exception) -> str:
    if isinstance(error, NotImplementedError):  # torch, of weights without content
        return "weights are missing: the file is cut short, or of a smaller UNet, which is read from a folder alone"
    return (str(error).strip().splitlines() or [type(error).__name__])[0].rstrip(".")


def save_backbone(pipe: Pipeline, folder: Path, *, half: bool) -> None:
    """Write the pipeline as a diffusers folder of safetensors, the same bytes for the same weights.

    Args:
        half: store the weights in fp16; the pipeline in memory is left as it would be loaded back, in fp32.
    """
    with quiet():
        for module in networks(pipe):
            module.to(torch.float16 if half else torch.float32)
        pipe.save_pretrained(folder, safe_serialization=True)
        apply_umask(folder.rglob("*.safetensors"))
        for module in networks(pipe):
            module.to(torch.float32)
