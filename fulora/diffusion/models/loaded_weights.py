"""Checks of loaded weights: all are there, all of the file's are used, and all are finite."""

from collections.abc import Iterable

import torch

from fulora import progress

ADAPTERS = (".lora_", "lora_unet_", ".base_layer.", ".hada_", ".lokr_")
"""Parts of the names of weights that belong to an adapter."""
KNOWN_EXTRAS = ("position_ids",)
"""Weights in files of older versions that no network needs."""


def check_unused_weights(part: str, names: Iterable[str]) -> None:
    """Log the weights of a file that the network does not use, and refuse those of an adapter.

    Args:
        part: name of the network for the message, such as `unet`.
        names: names of the weights that were not loaded.

    Raises:
        ValueError: if they belong to an adapter such as a LoRA: the network would differ from its file.
    """
    extra = sorted(name for name in names if not name.endswith(KNOWN_EXTRAS))
    if adapters := [name for name in extra if any(word in name for word in ADAPTERS)]:
        raise ValueError(
            f"{part} holds {len(adapters)} weights of an adapter such as a LoRA ({adapters[0]}), which would be left "
            "out: merge it into the network, or save it as a LoRA of its own and give it by --lora"
        )
    if extra:
        progress.note(f"{part}: {len(extra)} weights that it does not have are left out, such as {extra[0]}")


def check_complete(module: torch.nn.Module) -> None:
    """Refuse a network without some of its weights, which diffusers leaves without content, or with NaN or infinity.

    Raises:
        ValueError: if there are such weights.
    """
    if missing := [name for name, parameter in module.named_parameters() if parameter.is_meta]:
        raise ValueError(f"{type(module).__name__} lacks {len(missing)} weights, such as {missing[0]}")
    check_finite(module)


def check_finite(module: torch.nn.Module) -> None:
    """Refuse weights with NaN or infinity. The sum of each is tested first, which is ten times as fast.

    Raises:
        ValueError: if there are such weights.
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
