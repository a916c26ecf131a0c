"""Weights of a network from one local file, and what in them does not fit."""

from collections.abc import Collection, Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

SHOWN = 3


class StateDictError(ValueError):
    """A file of weights that cannot be read."""


def read_state(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a `.safetensors`, or of a `.pth` that holds weights alone; no code of the file is run.

    Raises:
        StateDictError: it cannot be read, holds more than weights, or no state dict.
    """
    try:
        found = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, KeyError) as error:
        raise StateDictError(
            f"{path}: cannot be read as .safetensors or as a .pth of weights alone: {error}"
        ) from error
    except Exception as error:  # the unpickler's own, which it does not share
        raise StateDictError(f"{path}: holds more than weights, or is damaged: {error}") from error
    state = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise StateDictError(f"{path}: holds no state dict: a file of names and tensors is needed")
    return state


def misfits(own: Mapping[str, Tensor], state: Mapping[str, Tensor], optional: Collection[str] = ()) -> str:
    """In a few words, what is missing from a state, unknown in it, or of another shape than `own`; "" if it fits.

    Args:
        optional: names that may be missing.
    """
    wrong = [
        *(f"{name} is missing" for name in own if name not in state and name not in optional),
        *(f"{name} is unknown" for name in state if name not in own),
        *(
            f"{name} is {tuple(value.shape)}, not {tuple(own[name].shape)}"
            for name, value in state.items()
            if name in own and value.shape != own[name].shape
        ),
    ]
    return "; ".join(wrong[:SHOWN]) + (f" and {len(wrong) - SHOWN} more" if len(wrong) > SHOWN else "")
