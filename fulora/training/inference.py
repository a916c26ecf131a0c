"""Inference on a device: pictures in batches that fit, decoded ahead in threads, results back on the CPU.

Every prediction of a network of pictures goes through `Inference`: on a CPU in batches of the size that its caller
names, in full precision, so that the same pictures give the same bytes; on a GPU in larger ones.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from typing import TypeVar

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from torch import Tensor, nn

from fulora.engine import threaded
from fulora.training.devices import DeviceError, is_out_of_memory, missing_operations_named

T = TypeVar("T")
GPU_BATCH = 256
"""Pictures computed together on a GPU at first; halved until they fit."""


class Inference:
    """A network on its device, and the number of pictures that it takes at once.

    Where a GPU has too little memory for a batch, the number is halved until it fits, and stays so. Rows depend on the
    size of the batch in their last digits only.

    Tolerance: with `half`, on a CUDA GPU, the network runs under autocast in fp16, and a batch whose rows overflow (NaN
    or infinity) runs again in fp32: unit embeddings differ from a CPU's by at most 5e-3 in each number, probabilities
    by 1e-2. Without it, a GPU's TF32 convolutions remain: probabilities differ by at most 1e-2 (`benchmarks/gpu.py`
    measures both).

    Args:
        network: rows of results (on the device) for gray pictures of 0 to 255 (on the device); no state.
        device: where the network's weights are.
        cpu_batch, gpu_batch: pictures at once.
        half: for frozen encoders: half precision on a CUDA GPU. CPUs and MPS compute in full precision.

    Attributes:
        batch_size: pictures at once, as found so far.
    """

    def __init__(
        self,
        network: Callable[[UInt8[Tensor, "b h w"]], Shaped[Tensor, "b *row"]],
        device: torch.device,
        *,
        cpu_batch: int,
        gpu_batch: int = GPU_BATCH,
        half: bool = False,
    ) -> None:
        self.network, self.device = network, device
        self.half = half and device.type == "cuda"
        self.batch_size = cpu_batch if device.type == "cpu" else gpu_batch

    @torch.no_grad()
    def rows(self, pictures: Iterable[UInt8[np.ndarray, "_ _"]]) -> Iterator[Shaped[Tensor, "b *row"]]:
        """Yield the rows of pictures of equal size, a batch at a time, in order, on the CPU.

        While a GPU computes a batch, the next one is taken from `pictures` and sent.

        Raises:
            DeviceError: if the device lacks an operation, or memory for a single picture.
        """
        source, pending = iter(pictures), None
        while batch := list(islice(source, self.batch_size)):
            for computed in self._computed(np.stack(batch), half=self.half):
                if pending is not None:
                    yield self._fetched(*pending)
                pending = computed
        if pending is not None:
            yield self._fetched(*pending)

    def _computed(
        self, pixels: UInt8[np.ndarray, "n h w"], *, half: bool
    ) -> Iterator[tuple[UInt8[np.ndarray, "b h w"], Tensor]]:
        """Pictures and their rows on the device, in parts that fit."""
        done = 0
        while done < len(pixels):
            part = pixels[done : done + self.batch_size]
            rows = self._forward(part, half)
            if rows is None:
                self.batch_size = len(part) // 2
                continue
            yield part, rows
            done += len(part)

    def _forward(self, pixels: UInt8[np.ndarray, "b h w"], half: bool) -> Tensor | None:
        """The rows on the device; None if they do not fit into its memory."""
        try:
            with missing_operations_named(), torch.autocast(self.device.type, torch.float16, enabled=half):
                return self.network(self._sent(pixels))
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            if len(pixels) == 1:
                height, width = pixels.shape[1:]
                raise DeviceError(
                    f"device={self.device}: has too little memory for one picture of {width}x{height} px; free some, "
                    "or use --device cpu (in a config: device=cpu)"
                ) from error
        return None

    def _sent(self, pixels: UInt8[np.ndarray, "b h w"]) -> UInt8[Tensor, "b h w"]:
        tensor = torch.from_numpy(pixels)
        if self.device.type == "cuda":
            return tensor.pin_memory().to(self.device, non_blocking=True)
        return tensor.to(self.device)

    def _fetched(self, pixels: UInt8[np.ndarray, "b h w"], rows: Tensor) -> Shaped[Tensor, "b *row"]:
        found = rows.cpu()
        if self.half and not torch.isfinite(found).all():
            return torch.cat([exact.cpu() for _, exact in self._computed(pixels, half=False)])
        return found


def device_of(network: nn.Module) -> torch.device:
    """Return the device of a network's weights."""
    return next(network.parameters()).device


def decoded_ahead(
    picture: Callable[[T], UInt8[np.ndarray, "h w"]], items: Sequence[T], batch_size: int
) -> Iterator[UInt8[np.ndarray, "_ _"]]:
    """Yield the picture of each item, in order, decoded in threads two batches ahead of what is taken."""
    return threaded(picture, items, ahead=2 * batch_size)
