"""`--lora FILE[:STRENGTH[:TEXT]]` of `fulora generate`."""

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from fulora.diffusion.sampling.inputs import LoraSource


def parse_lora(text: str, settings: Mapping[str, Any], *, any_base: bool) -> "LoraSource":
    """Parse FILE, FILE:STRENGTH or FILE:STRENGTH:TEXT_STRENGTH; a folder of fulora, diffusers or peft is its file.

    Args:
        settings: of a `GenerateConfig`, with the strengths if the text has none.

    Raises:
        LoraError: if there is no such file, or a strength is not a finite number of at least 0.
    """
    from fulora.diffusion.lora.adapters import LoraError
    from fulora.diffusion.lora.peft_folder import lora_path
    from fulora.diffusion.sampling.inputs import lora_source

    file, *texts = _split(text)
    strengths = [_parse_strength(text, each) for each in texts]
    path = lora_path(Path(file)).resolve()
    if not path.is_file():
        raise LoraError(f"--lora {text}: {path.name} not found; give FILE, FILE:0.8, or FILE:0.8:0.5")
    strength = strengths[0] if strengths else float(settings.get("lora_strength", 1.0))
    text_strength = strengths[1] if len(strengths) > 1 else settings.get("lora_text_strength")
    return lora_source(path, strength, None if text_strength is None else float(text_strength), any_base=any_base)


def _split(text: str) -> list[str]:
    """The file and its strengths, at most two; a file's own name may hold a colon."""
    for count in (0, 1, 2):
        parts = text.rsplit(":", count)
        if len(parts) == count + 1 and parts[0] and Path(parts[0]).exists():
            return parts
    match = re.fullmatch(r"(.+?)((?::\d*\.?\d+){0,2})", text)
    return [match[1], *match[2].split(":")[1:]] if match else [text]


def _parse_strength(text: str, number: str) -> float:
    from fulora.diffusion.lora.adapters import LoraError

    try:
        strength = float(number)
    except ValueError:
        strength = math.nan
    if not 0 <= strength < math.inf:
        raise LoraError(
            f"--lora {text}: the strength {number!r} is not allowed; give a number of at least 0, such as 0.8: 0 is "
            "the backbone alone, 1 the LoRA as trained"
        )
    return strength
