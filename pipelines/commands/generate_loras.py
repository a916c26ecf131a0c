"""The LoRAs of `fulora generate`: which files they are, and what their headers say about how they are used."""

import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulora import progress

if TYPE_CHECKING:
    from fulora.diffusion.config import GenerateConfig
    from fulora.diffusion.sampling.ingredients import LoraSource


@dataclass(frozen=True)
class TrainedAs:
    """What a LoRA's file says of its training.

    Attributes:
        clip_skip: None where it does not say, or where it has no meaning.
        pairs: on pairs of image and mask.
        notes: what else a user has to know.
    """

    clip_skip: int | None
    pairs: bool
    notes: tuple[str, ...]


def lora_given(text: str, given: dict[str, Any], *, any_base: bool) -> "LoraSource":
    """FILE, FILE:STRENGTH or FILE:STRENGTH:TEXT_STRENGTH; a folder of fulora, diffusers or peft is its file.

    Raises:
        LoraError: there is no such file, or a strength is not a finite number of at least 0.
    """
    from fulora.diffusion.lora.adapters import LoraError
    from fulora.diffusion.lora.peft_folder import lora_path
    from fulora.diffusion.sampling.ingredients import lora_source

    file, *strengths = _split(text)
    strength, text_strength = ([_strength(text, part) for part in strengths] + [None, None])[:2]
    path = lora_path(Path(file)).resolve()
    if not path.is_file():
        raise LoraError(f"--lora {text}: {path.name} is not there; give FILE, FILE:0.8, or FILE:0.8:0.5")
    strength = float(given.get("lora_strength", 1.0)) if strength is None else strength
    said = given.get("lora_text_strength") if text_strength is None else text_strength
    text_strength = None if said is None else float(said)
    return lora_source(path, strength, text_strength, any_base=any_base)


def _split(text: str) -> list[str]:
    """The file, and what stands behind it for its strengths: at most two; a file's own name may hold a colon."""
    for count in (0, 1, 2):
        parts = text.rsplit(":", count)
        if len(parts) == count + 1 and parts[0] and Path(parts[0]).exists():
            return parts
    found = re.fullmatch(r"(.+?)((?::\d*\.?\d+){0,2})", text)
    return [found[1], *found[2].split(":")[1:]] if found else [text]


def _strength(text: str, given: str) -> float:
    from fulora.diffusion.lora.adapters import LoraError

    try:
        strength = float(given)
    except ValueError:
        strength = math.nan
    if not 0 <= strength < math.inf:
        raise LoraError(
            f"--lora {text}: the strength {given!r} is not allowed; give a number of at least 0, such as 0.8: 0 leaves "
            "the backbone as it is, 1 is the LoRA as trained"
        )
    return strength


def trained_as(path: Path) -> TrainedAs:
    """What a LoRA's file says of its training; kohya writes a clip skip as a text, `None` for the last layer.

    Raises:
        LoraError: it cannot be read.
    """
    from fulora.diffusion.lora.base_model import describe_alpha, predictions_of
    from fulora.diffusion.lora.metadata import architecture_in, fulora_entry, settings_in
    from fulora.diffusion.lora.read import read_lora

    lora = read_lora(path)
    settings, notes = settings_in(lora.metadata), [describe_alpha(lora)]
    said = str(settings.get("clip_skip"))
    clip_skip = int(said) if said.isdecimal() and int(said) > 0 else None
    if clip_skip and architecture_in(lora) == "sdxl" and "config" not in fulora_entry(lora.metadata):
        notes.append(f"its ss_clip_skip={clip_skip} is not used: kohya ignores it for SDXL, whose layer is fixed")
        clip_skip = None
    if not predictions_of(lora):
        notes.append("its file does not say what it was trained to predict; taken to be what the backbone predicts")
    return TrainedAs(clip_skip, settings.get("mask_channel") is True, tuple(note for note in notes if note))


def check_lora(name: str, header: TrainedAs, cfg: "GenerateConfig") -> None:
    """Refuse or note what does not go with the settings.

    Raises:
        LoraError: a LoRA of pairs, whose masks would be mixed into gray pictures.
    """
    from fulora.diffusion.lora.adapters import LoraError

    if header.pairs and cfg.colour == "gray":
        raise LoraError(
            f"{name} was trained on pairs of image and mask (mask_channel=true), and colour=gray would mix the mask "
            "into the picture: give colour=rgb, which draws the mask in the red channel"
        )
    if header.clip_skip and header.clip_skip != cfg.clip_skip:
        progress.note(f"{name} was trained with clip_skip={header.clip_skip}, and is used with {cfg.clip_skip}")
    for note in header.notes:
        progress.note(f"{name}: {note}")
