"""A GPU for tests on machines without one: torch's fake tensors have shapes and devices, and no numbers.

Inside `fake_gpu`, `pick_device("auto")` is a CUDA device, networks can be moved there, and tensors of two devices do
not mix, as on a real one. What a computation reads back to the CPU is 1 / (length of the last axis): rows sum to 1.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensor, FakeTensorMode, unset_fake_temporarily
from torch.overrides import TorchFunctionMode

P = ParamSpec("P")
R = TypeVar("R")

GPU = torch.device("cuda:0")
NUMPY = {torch.float32: np.float32, torch.float16: np.float16, torch.float64: np.float64, torch.uint8: np.uint8}


def _numbers(tensor: Tensor) -> np.ndarray:
    if tensor.device.type != "cpu":
        raise TypeError(f"can't convert {tensor.device} device type tensor to numpy")
    share = 1 / tensor.shape[-1] if tensor.ndim else 1
    return np.full(tuple(tensor.shape), share, NUMPY.get(tensor.dtype, np.int64))


READ: Mapping[Any, Callable[[Tensor], Any]] = {
    Tensor.numpy: _numbers,
    Tensor.tolist: lambda tensor: np.ones(tuple(tensor.shape), bool).tolist(),
    Tensor.item: lambda tensor: True if tensor.dtype is torch.bool else 1.0,
    Tensor.__float__: lambda tensor: 1.0,
    Tensor.__bool__: lambda tensor: True,
    Tensor.pin_memory: lambda tensor: tensor,
}
"""What a CPU asks of a tensor."""


class _Reads(TorchFunctionMode):
    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        if func in READ and (isinstance(args[0], FakeTensor) or func is Tensor.pin_memory):
            return READ[func](args[0])
        return func(*args, **(kwargs or {}))


class _WithoutDriver(FakeTensorMode):
    avoid_device_init = True  # whatever `torch.cuda.is_available` says


@dataclass
class FakeGpu:
    """What ran.

    Attributes:
        networks: the class of every module that ran on the GPU.
        left: modules whose results were on the CPU.
    """

    networks: set[str] = field(default_factory=set)
    left: set[str] = field(default_factory=set)

    def watch(self, module: torch.nn.Module, arguments: object, output: object) -> None:
        """Note where the results of a module are."""
        for tensor in _tensors(output):
            (self.networks if tensor.device == GPU else self.left).add(type(module).__name__)


def _tensors(value: object) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    for part in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        yield from _tensors(part)


def _apply(module: torch.nn.Module, function: Callable[[Tensor], Tensor], recurse: bool = True) -> torch.nn.Module:
    """`Module._apply`, which cannot exchange fake parameters in place: by new ones."""
    for child in module.children():
        child._apply(function)
    for name, parameter in module._parameters.items():
        if parameter is not None:
            module._parameters[name] = torch.nn.Parameter(function(parameter.detach()), parameter.requires_grad)
    for name, buffer in module._buffers.items():
        if buffer is not None:
            module._buffers[name] = function(buffer)
    return module


def real(function: Callable[P, R]) -> Callable[P, R]:
    """Return a function that reads files as it does without a fake GPU."""

    def loaded(*args: P.args, **kwargs: P.kwargs) -> R:
        with unset_fake_temporarily():
            return function(*args, **kwargs)

    return loaded


@contextmanager
def fake_gpu(monkeypatch: pytest.MonkeyPatch, loaders: Sequence[str] = ()) -> Iterator[FakeGpu]:
    """Within the context this machine has a GPU; at the end, something ran there, and nothing on the CPU.

    Args:
        loaders: dotted names of the functions that load networks.
    """
    gpu = FakeGpu()
    with _WithoutDriver(allow_non_fake_inputs=True), _Reads(), monkeypatch.context() as patch:
        patch.setattr(torch.cuda, "is_available", lambda: True)
        patch.setattr(torch.nn.Module, "_apply", _apply)
        patch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: True)
        patch.setattr(torch.cuda, "get_device_name", lambda device=None: "fake")
        for name in loaders:
            module, _, function = name.rpartition(".")
            patch.setattr(name, real(getattr(__import__(module, fromlist=[function]), function)))
        hook = torch.nn.modules.module.register_module_forward_hook(gpu.watch)
        try:
            yield gpu
        finally:
            hook.remove()
    assert gpu.networks, "no network ran on the GPU"
    assert not gpu.left, f"ran on the CPU: {', '.join(sorted(gpu.left))}"
