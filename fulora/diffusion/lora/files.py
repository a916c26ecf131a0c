"""LoRA files: saved from a pipeline, fused into a pipeline, converted between diffusers' and kohya's format."""

from pathlib import Path

from fulora import progress
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.base_model import describe_families, describe_mismatch, describe_schedule_mismatch
from fulora.diffusion.lora.formats import Format, Precision
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import build_metadata
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.lora.weights import Lora, extract_lora, fuse
from fulora.diffusion.lora.write import write_lora
from fulora.diffusion.models.architectures import Pipeline

FILE = "lora.safetensors"
METRICS = "metrics.jsonl"
SAMPLES = "samples"
"""Names in the folder of a trained LoRA: the LoRA, the log of its training, the folder of sample grids."""


def save_lora(
    pipe: Pipeline,
    path: Path,
    *,
    format: Format = "diffusers",
    precision: Precision = "fp32",
    cfg: LoraConfig | None = None,
    facts: TrainingFacts | None = None,
) -> None:
    """Write the LoRA that a pipeline holds, for `pipe.load_lora_weights(path.parent, weight_name=path.name)`.

    Equal weights give equal bytes. See `write_lora` for the formats and `build_metadata` for the header.

    Args:
        cfg, facts: settings and data of the training, for the header.

    Raises:
        LoraError: if the pipeline has no LoRA or several, or a number is too large for fp16.
    """
    lora = extract_lora(pipe)
    described = Lora(lora.modules, build_metadata(pipe, lora, cfg, facts))
    write_lora(described, path, format=format, precision=precision)


def load_lora(
    pipe: Pipeline, path: Path, strength: float, text_strength: float | None = None, *, any_base: bool = False
) -> None:
    """Fuse a LoRA, of fulora, diffusers, kohya or peft, into the pipeline's weights, `strength` times.

    Args:
        text_strength: strength in the text encoders, if different.
        any_base: accept a LoRA declared for another prediction type or family, with a note.

    Raises:
        LoraError: if the file is missing, not a LoRA, or for another architecture or, unless `any_base`, for another
            prediction type or family; the pipeline is not changed.
    """
    lora = read_lora(path)
    if wrong := describe_mismatch(lora, pipe):
        if not any_base:
            raise LoraError(
                f"{path}: cannot be used as a LoRA of this backbone: {wrong}. Give a backbone that it was trained for; "
                "`fulora lora inspect` shows what its file says, and --any-base uses it nevertheless"
            )
        progress.note(f"{path.name} is used nevertheless (--any-base): {wrong}")
    if another := describe_schedule_mismatch(lora, pipe):
        progress.note(f"{path.name}: {another}")
    try:
        fuse(pipe, lora, strength, text_strength)
    except LoraError as error:
        families = describe_families(lora, pipe)
        raise LoraError(f"{path}: cannot be used as a LoRA of this backbone: {error}{families}") from error


def convert_lora(
    source: Path, destination: Path, *, format: Format, precision: Precision | None = None, overwrite: bool = False
) -> Lora:
    """Write a LoRA file in another format, with its header; return the LoRA of the source.

    Args:
        destination: ends in `.safetensors`.
        precision: None keeps that of the source.
        overwrite: replace an existing file.

    Raises:
        LoraError: if the destination is the source, exists or has another ending, or the source cannot be read, or not
            written in that format or precision.
    """
    if destination.suffix != ".safetensors":
        raise LoraError(f"{destination}: a LoRA file ends in .safetensors, or other tools do not find it")
    if destination.exists() and source.exists() and destination.samefile(source):
        raise LoraError(f"{destination} is the source: give the destination another name")
    if destination.exists() and not overwrite:
        raise LoraError(f"{destination} exists already: give another name, or --force to overwrite it")
    lora = read_lora(source)
    write_lora(lora, destination, format=format, precision=precision)
    return lora
