"""Following the memory of a computation that is run on tensors which have shapes and no numbers."""

import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch._subclasses import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

CPU_BLOCK, GPU_BLOCK = 64, 512
"""Bytes that an allocation is rounded up to."""

MMAP = 32 * 2**20
"""Blocks from this size on go back to the system when they are freed (glibc); smaller ones leave holes."""

HOLES = 0.75
"""Share of the activations in such smaller blocks that the holes take beside them: measured with SD 1.5 on a CPU."""

CONVOLUTIONS = (torch.ops.aten.convolution.default, torch.ops.aten.convolution_backward.default)
NORMALISATIONS = (torch.nn.GroupNorm, torch.nn.LayerNorm)


class Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Follows all storages, and the peaks of their bytes.

    Args:
        block: bytes that an allocation is rounded up to.
        holes: whether freed small blocks leave holes, and convolutions copy their weights, as on a CPU.
    """

    def __init__(self, block: int, holes: bool) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.block, self.holes = block, holes
        self.now = self.peak = self.small = self.small_peak = self.small_before = 0
        self.known: dict[int, weakref.ref[Any]] = {}

    def mark(self) -> None:
        """From here on, what is allocated comes and goes with every step."""
        self.small_before = self.small_peak = self.small

    def resident(self) -> int:
        """The peak, with the holes."""
        return self.peak + self._hollow()

    def settled(self) -> int:
        """What is there now, small blocks as many as there ever were."""
        return self.now - self.small + self.small_peak + self._hollow()

    def _hollow(self) -> int:
        return int(HOLES * (self.small_peak - self.small_before)) if self.holes else 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        result = function(*args, **(kwargs or {}))
        for item in tree_leaves(result):
            if isinstance(item, Tensor):
                self.follow(item.untyped_storage())
        if self.holes and function in CONVOLUTIONS:
            weight = args[1] if function is CONVOLUTIONS[0] else args[2]
            self.peak = max(self.peak, self.now + weight.nbytes)
        return result

    def follow(self, storage: Any) -> None:
        """Count a storage until it dies."""
        key, size = storage._cdata, -(-storage.nbytes() // self.block) * self.block
        if key in self.known:
            return

        def gone(_: object) -> None:
            del self.known[key]
            self._add(-size)

        self.known[key] = weakref.ref(storage, gone)
        self._add(size)

    def _add(self, size: int) -> None:
        self.now += size
        self.small += size if abs(size) < MMAP else 0
        self.peak, self.small_peak = max(self.peak, self.now), max(self.small_peak, self.small)


@contextmanager
def following(gpu: bool) -> Iterator[Live]:
    """Inside, tensors have no numbers, and the storages are followed as those of a GPU or of the CPU."""
    live = Live(GPU_BLOCK if gpu else CPU_BLOCK, holes=not gpu)
    with FakeTensorMode(allow_non_fake_inputs=True), live:
        yield live


def allocate(module: torch.nn.Module, *, channels_last: bool = False) -> None:
    """Give a module on the meta device weights without numbers."""

    def allocated(tensor: Tensor) -> Tensor:
        last = channels_last and tensor.dim() == 4
        form = torch.channels_last if last else torch.contiguous_format
        return torch.empty(tensor.shape, dtype=tensor.dtype, memory_format=form)

    replace(module, allocated)


def normalise_in_fp32(module: torch.nn.Module) -> None:
    """Normalisations as CUDA's autocast does them; the CPU's leaves them in the precision of their input."""
    for part in module.modules():
        if isinstance(part, NORMALISATIONS):
            replace(part, lambda tensor: tensor.float())
            part.register_forward_pre_hook(lambda _, inputs: tuple(tensor.float() for tensor in inputs))


@torch.no_grad()
def replace(module: torch.nn.Module, make: Callable[[Tensor], Tensor]) -> None:
    """`Module.to` cannot do it: it swaps tensors, which those without numbers do not allow."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = torch.nn.Parameter(make(parameter), parameter.requires_grad)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = make(buffer)
