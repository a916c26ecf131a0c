"""Weights as they were loaded: none of the file's left out, all of them finite."""

from collections.abc import Iterable

import torch

from fulora import progress

ADAPTERS = (".lora_", "lora_unet_", ".base_layer.", ".hada_", ".lokr_")
"""What stands in the names of weights that belong to an adapter on a network."""
KNOWN_EXTRAS = ("position_ids",)
"""What files of older versions hold, and no network needs."""


def check_unused_weights(part: str, names: Iterable[str]) -> None:
    """Say which weights of a file the network does not have, and refuse those of an adapter.

    Args:
        part: such as `unet`, for the message.
        names: of the weights that were not loaded.

    Raises:
        ValueError: they are a LoRA's, or another adapter's: the network would be another one than its file holds.
    """
    extra = sorted(name for name in names if not name.endswith(KNOWN_EXTRAS))
    if adapters := [name for name in extra if any(word in name for word in ADAPTERS)]:
        raise ValueError(
            f"{part} holds {len(adapters)} weights of an adapter such as a LoRA ({adapters[0]}), which would be left "
            "out: merge it into the network, or save it as a LoRA of its own and give it by --lora"
        )
    if extra:
        progress.note(f"{part}: {len(extra)} weights that it does not have are left out, such as {extra[0]}")


def check_finite(module: torch.nn.Module) -> None:
    """Refuse weights of NaN or infinity. A sum tells, and is ten times as fast as looking at each number.

    Raises:
        ValueError: names the weights.
    """
    wrong = [
        name
        for name, weight in module.named_parameters()
        if not torch.isfinite(weight.detach().sum()) and not torch.isfinite(weight).all()
    ]
    if wrong:
        raise ValueError(
            f"{type(module).__name__}: {len(wrong)} weights hold NaN or infinity, such as {wrong[0]}: the file is "
            "damaged, or its training or conversion failed; give another one"
        )
