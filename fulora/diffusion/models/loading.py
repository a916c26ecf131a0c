"""Load any Stable Diffusion backbone, and save one as a diffusers folder."""

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import DiffusionPipeline, StableDiffusionPipeline, StableDiffusionXLPipeline
from diffusers.loaders.single_file_utils import SingleFileComponentError
from diffusers.utils import logging as diffusers_logging
from safetensors import SafetensorError
from transformers.utils import logging as transformers_logging

from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.checkpoint_file import identify_checkpoint, write_configs
from fulora.diffusion.models.diffusers_folder import read_config
from fulora.diffusion.models.latent_scaling import check_scaling
from fulora.diffusion.models.native_size import NativeSize, native_size_of_architecture
from fulora.diffusion.models.network_weights import Networks, load_from_checkpoint, load_from_folder
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
    source: Path | str,
    *,
    revision: str | None = None,
    architecture: Architecture | None = None,
    unet_dtype: torch.dtype = torch.float32,
) -> Pipeline:
    """Load a pipeline in fp32 on the CPU, whatever precision its weights are stored in.

    The safety checker, made for photographs, is left out: it would black out ultrasound. So is SDXL's watermark.

    Args:
        source: a folder in diffusers' layout, one `.safetensors` checkpoint under the original names (where it holds
            averaged weights beside the plain ones, the plain ones are read), or a hub id such as `owner/name`. Only
            a hub id needs internet.
        revision: branch, tag or commit on the hub.
        architecture: of a checkpoint file; needed for SD 2.x, whose files do not declare what they predict.
        unet_dtype: load the UNet in another precision, which saves memory where it would be cast next.

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
            pipe = _from_file(path, architecture, unet_dtype)
        else:
            folder = path if path.is_dir() else download_backbone(source, revision)
            pipe = _from_folder(folder, source, unet_dtype)
    pipe.set_progress_bar_config(disable=True)
    return pipe


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


def _from_folder(folder: Path, source: Path | str, unet_dtype: torch.dtype) -> Pipeline:
    try:
        name = _class_name(folder)
        return _assemble(folder, name, load_from_folder(folder, name, unet_dtype))
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise BackboneError(f"{source}: cannot be loaded as a Stable Diffusion: {_reason(error)}. {ALLOWED}") from error


def _assemble(folder: Path, name: str, networks: Networks) -> Pipeline:
    """Put networks together with the scheduler and the tokenizers of a folder."""
    pipe: Pipeline = CLASSES[name].from_pretrained(folder, local_files_only=True, **networks, **OMITTED[name])
    _check_tokenizers(pipe)
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


def _from_file(path: Path, architecture: Architecture | None, unet_dtype: torch.dtype) -> Pipeline:
    """Configs and tokenizers are those of the architecture, so nothing is downloaded."""
    try:
        checkpoint = identify_checkpoint(path, architecture)
        name = "StableDiffusionXLPipeline" if checkpoint.architecture == "sdxl" else "StableDiffusionPipeline"
        with TemporaryDirectory() as folder:
            write_configs(checkpoint, Path(folder))
            return _assemble(Path(folder), name, load_from_checkpoint(path, checkpoint, Path(folder), name, unet_dtype))
    except (OSError, ValueError, RuntimeError, SafetensorError, SingleFileComponentError) as error:
        raise BackboneError(f"{path}: cannot be loaded as a Stable Diffusion: {_reason(error)}") from error


def native_size_of_file(path: Path, architecture: Architecture | None) -> NativeSize:
    """Return the native size of a checkpoint file, by its header alone.

    Raises:
        BackboneError: if it is not a Stable Diffusion.
    """
    try:
        checkpoint = identify_checkpoint(path, architecture)
    except (OSError, ValueError, SafetensorError) as error:
        raise BackboneError(f"{path}: cannot be loaded as a Stable Diffusion: {_reason(error)}") from error
    return native_size_of_architecture(checkpoint.architecture, small=checkpoint.small)


def _check_tokenizers(pipe: Pipeline) -> None:
    """transformers makes a tokenizer of nothing."""
    for name in ("tokenizer", "tokenizer_2"):
        tokenizer = getattr(pipe, name, None)
        if tokenizer is not None and (len(tokenizer) < 10 or tokenizer.model_max_length > 10**6):
            raise ValueError(f"{name}/ lacks vocab.json, merges.txt or tokenizer_config.json")


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
