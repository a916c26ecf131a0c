"""Files of weights: what kind one is by its first bytes, the weights in it, and what in them does not fit.

No code of a file is run, and no message hands on torch's advice to allow that.
"""

import pickle
import re
import zipfile
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Literal

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

SHOWN = 3


Kind = Literal["safetensors", "pickle", "torchscript", "zip", "gguf", "hdf5", "lfs", "page", "empty", "unknown"]

_BEGINNINGS: tuple[tuple[bytes, Kind], ...] = (
    (b"GGUF", "gguf"),
    (b"\x89HDF", "hdf5"),
    (b"version https://git-lfs", "lfs"),
    (b"<", "page"),
)
_CONVERT = "convert it to .safetensors in a place where you trust its source"
_REFUSED: dict[Kind, str] = {
    "pickle": f"only .safetensors files are read: a pickle, such as a .ckpt, can run any code; {_CONVERT}",
    "torchscript": "it is a TorchScript archive, which is a program and not weights alone; save its state_dict as "
    ".safetensors in a place where you trust its source",
    "zip": "it is a zip archive without weights of torch in it; unpack it and give the .safetensors file",
    "gguf": "it is a GGUF file, of quantised weights; give the .safetensors file that it was made from",
    "hdf5": f"it is an HDF5 file, as Keras writes it; {_CONVERT}",
    "lfs": "it is a Git LFS pointer and not the weights; run `git lfs pull` in the repository, or download the file",
    "page": "it is a web page or XML and not the weights; the download failed or needs a login: download it again",
    "empty": "it is empty; download or copy it again",
}


class StateDictError(ValueError):
    """A file of weights that cannot be read."""


def kind_of(path: Path) -> Kind:
    """What a file is by its content, whatever its name ends in.

    Raises:
        OSError: if it cannot be opened.
    """
    with path.open("rb") as file:
        start = file.read(32)
    if not start:
        return "empty"
    if zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            inside = {name.partition("/")[2] for name in archive.namelist()}
        return "torchscript" if "constants.pkl" in inside else "pickle" if "data.pkl" in inside else "zip"
    if start[8:9] == b"{":
        return "safetensors"
    if re.match(rb"\x80[\x02-\x05]|\(?[dl(]*p0\n", start):
        return "pickle"
    return next((kind for beginning, kind in _BEGINNINGS if start.lstrip().startswith(beginning)), "unknown")


def wrong_format(path: Path, *, pickles: bool = False) -> str:
    """Why a file is not one of weights, by what it is, and what to do; "" where it can be one.

    Args:
        pickles: whether one of torch that holds weights alone can be read, which only reading tells.

    Raises:
        OSError: if it cannot be opened.
    """
    kind = kind_of(path)
    return "" if kind == "pickle" and pickles else _REFUSED.get(kind, "")


def read_state(path: Path) -> dict[str, Tensor]:
    """Names and tensors of a safetensors file, or of a pickle that holds weights alone; no code of the file is run.

    Raises:
        StateDictError: if it cannot be read, holds more than weights, or no state dict.
    """
    try:
        wrong = wrong_format(path, pickles=True)
        if not wrong:
            kind = kind_of(path)
            plain = kind == "safetensors" or (kind == "unknown" and path.suffix == ".safetensors")
            found = load_file(path) if plain else torch.load(path, "cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise StateDictError(f"{path}: {more_than_weights(error)}") from error
    except (OSError, RuntimeError, SafetensorError, EOFError, ValueError, LookupError) as error:
        raise StateDictError(
            f"{path}: cannot be read as .safetensors or as a .pth of weights alone: {error}"
        ) from error
    if wrong:
        raise StateDictError(f"{path}: cannot be read as weights: {wrong}")
    state = found.get("state_dict", found) if isinstance(found, dict) else {}
    if not state or not all(isinstance(value, Tensor) for value in state.values()):
        raise StateDictError(f"{path}: holds no state dict: a file of names and tensors is needed")
    return state


def more_than_weights(error: Exception) -> str:
    """Why torch did not read a pickle, in words that do not advise to read it nevertheless."""
    named = re.search(r"GLOBAL (\S+)", str(error))
    what = f"holds more than weights ({named[1]})" if named else "holds more than weights, or is damaged"
    return f"{what}: such a pickle can run any code; save its state_dict as .safetensors where you trust its source"


def state_dict_mismatch(own: Mapping[str, Tensor], state: Mapping[str, Tensor], optional: Collection[str] = ()) -> str:
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
