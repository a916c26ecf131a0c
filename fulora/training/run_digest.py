"""The digest that tells one training from another: settings and inputs."""

import hashlib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from pydantic import BaseModel
from torch import Tensor

from fulora.config import Json, digest, identity
from fulora.digests import file_digest

Input: TypeAlias = "BaseModel | np.ndarray | Tensor | Path | str | Mapping[str, Input] | Sequence[Input] | None"


def run_digest(config: BaseModel, *inputs: Input) -> str:
    """SHA-256 of a training's config and of all that it learns from, 64 hexadecimal digits.

    Args:
        inputs: arrays and tensors by their content, paths by their file's, other values as they are.
    """
    return digest([type(config).__name__, identity(config), *(_content(value) for value in inputs)])


def _content(value: Input) -> Json:
    if isinstance(value, Tensor):
        value = value.numpy(force=True)
    if isinstance(value, np.ndarray):
        content = hashlib.sha256(f"{value.dtype} {value.shape} ".encode())
        content.update(np.ascontiguousarray(value).data)
        return content.hexdigest()
    if isinstance(value, Path):
        return file_digest(value)
    if isinstance(value, Mapping):
        return {name: _content(tensor) for name, tensor in value.items()}
    if isinstance(value, tuple | list):
        return [_content(one) for one in value]
    return identity(value)
