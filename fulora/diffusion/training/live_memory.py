"""Peak memory of a computation that runs on the meta device, on tensors that have shapes and no numbers."""

import weakref
from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.nn import functional
from torch.overrides import TorchFunctionMode

LARGE_BLOCK = 32 * 2**20
"""Freed blocks of this size or more return to the system (glibc's largest mmap threshold); smaller ones may not."""

LOW_PRECISION = (functional.linear, torch.conv2d, functional.scaled_dot_product_attention)
NORMALISATIONS = (functional.group_norm, functional.layer_norm)


class Peak(NamedTuple):
    """Peaks in bytes: of all storages alive at once, and of those smaller than `LARGE_BLOCK`."""

    total: int = 0
    small: int = 0


def measure_peak(
    computation: Callable[[], object], dtype: torch.dtype = torch.float32, *, norms_in_fp32: bool = False
) -> Peak:
    """Return the peak of the storages that a computation allocates, with those that autograd keeps for its graph.

    Args:
        dtype: of linear layers, convolutions and attention, as under autocast, which ignores the meta device.
        norms_in_fp32: whether normalisations stay in fp32, as under autocast on CUDA but not on a CPU.
    """
    dtypes: dict[Any, torch.dtype] = {function: dtype for function in LOW_PRECISION if dtype != torch.float32}
    dtypes |= {function: torch.float32 for function in NORMALISATIONS if norms_in_fp32}
    storages = _LiveStorages(dtypes)
    with storages:
        computation()
    return storages.peak


class _LiveStorages(TorchFunctionMode):
    """Follows the storage of every result, from allocation to release; casts the arguments of some functions."""

    def __init__(self, dtypes: dict[Any, torch.dtype]) -> None:
        super().__init__()
        self.dtypes = dtypes
        self.alive: weakref.WeakSet[torch.UntypedStorage] = weakref.WeakSet()
        self.now = self.peak = Peak()

    def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if dtype := self.dtypes.get(function):
            args = [self._cast(value, dtype) for value in args]
        if function is functional.scaled_dot_product_attention:
            result = _FusedAttention.apply(*args[:3])
        else:
            result = function(*args, **(kwargs or {}))
        for value in result if isinstance(result, tuple | list) else (result,):
            if isinstance(value, Tensor):
                self._follow(value.untyped_storage())
        return result

    def _cast(self, value: Any, dtype: torch.dtype) -> Any:
        if not isinstance(value, Tensor) or value.dtype == dtype:
            return value
        cast = value.to(dtype)
        self._follow(cast.untyped_storage())
        return cast

    def _follow(self, storage: torch.UntypedStorage) -> None:
        if storage not in self.alive:
            self.alive.add(storage)
            self._add(storage.nbytes())
            weakref.finalize(storage, self._add, -storage.nbytes())

    def _add(self, size: int) -> None:
        small = size if abs(size) < LARGE_BLOCK else 0
        self.now = Peak(self.now.total + size, self.now.small + small)
        self.peak = Peak(max(self.peak.total, self.now.total), max(self.peak.small, self.now.small))


class _FusedAttention(torch.autograd.Function):
    """Attention without the matrix of its weights, which only the meta device would allocate."""

    @staticmethod
    def forward(ctx: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        batch, heads, length, _ = query.shape
        result = query.new_empty(batch, length, heads, value.shape[-1]).transpose(1, 2)
        ctx.save_for_backward(query, key, value, result)
        return result
