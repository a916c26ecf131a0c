"""What a LoRA's file says of its training, and whether the settings of a generation suit it."""

from dataclasses import dataclass
from pathlib import Path

from fulora import progress
from fulora.diffusion.lora.base_model import describe_alpha, predictions_of
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import architecture_in, fulora_entry, settings_in
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.sampling.config import GenerateConfig


@dataclass(frozen=True)
class LoraUsage:
    """What a LoRA's file says of its use.

    Attributes:
        clip_skip: of its training; None if unknown, or without a meaning for its architecture.
        has_mask_channel: trained on pairs of image and mask.
        notes: for the user.
    """

    clip_skip: int | None
    has_mask_channel: bool
    notes: tuple[str, ...]


def read_lora_usage(path: Path) -> LoraUsage:
    """Read what a LoRA's file says of its use; kohya writes a clip skip as a text, `None` for the last layer.

    Raises:
        LoraError: if the file cannot be read.
    """
    lora = read_lora(path)
    settings, notes = settings_in(lora.metadata), [describe_alpha(lora)]
    text = str(settings.get("clip_skip"))
    clip_skip = int(text) if text.isdecimal() and int(text) > 0 else None
    if clip_skip and architecture_in(lora) == "sdxl" and "config" not in fulora_entry(lora.metadata):
        notes.append(f"its ss_clip_skip={clip_skip} is not used: kohya ignores it for SDXL, whose layer is fixed")
        clip_skip = None
    if not predictions_of(lora):
        notes.append("its file does not say what it was trained to predict; taken to be what the backbone predicts")
    return LoraUsage(clip_skip, settings.get("mask_channel") is True, tuple(note for note in notes if note))


def check_lora_usage(name: str, usage: LoraUsage, cfg: GenerateConfig) -> None:
    """Refuse or note settings that do not suit a LoRA.

    Raises:
        LoraError: if it was trained on pairs, whose masks would be mixed into gray images.
    """
    if usage.has_mask_channel and cfg.colour == "gray":
        raise LoraError(
            f"{name} was trained on pairs of image and mask (mask_channel=true), and colour=gray would mix the mask "
            "into the picture: give colour=rgb, which draws the mask in the red channel"
        )
    if usage.clip_skip and usage.clip_skip != cfg.clip_skip:
        progress.note(f"{name} was trained with clip_skip={usage.clip_skip}, and is used with {cfg.clip_skip}")
    for note in usage.notes:
        progress.note(f"{name}: {note}")
