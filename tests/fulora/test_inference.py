"""Pictures through a network in batches: in order, in what fits, again in full precision where half overflows."""

import threading
from collections.abc import Callable

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from torch import Tensor

from fulora.training.devices import DeviceError, is_out_of_memory, missing_operations_named, pick_device
from fulora.training.inference import GPU_BATCH, Inference, decoded_ahead

CPU = torch.device("cpu")
PICTURES = [np.full((2, 3), number, np.uint8) for number in range(10)]


def mean(pixels: UInt8[Tensor, "b h w"]) -> Tensor:
    return pixels.float().mean((1, 2))


def with_room_for(count: int, seen: list[int]) -> Callable[[Tensor], Tensor]:
    """A network for which a GPU has memory for so many pictures."""

    def network(pixels: Tensor) -> Tensor:
        seen.append(len(pixels))
        if len(pixels) > count:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return mean(pixels)

    return network


def rows(inference: Inference, pictures: list[np.ndarray] = PICTURES) -> list[float]:
    return [number for batch in inference.rows(pictures) for number in batch.tolist()]


def test_rows_come_in_order_whatever_the_batch() -> None:
    for size in (1, 3, 10, 64):
        inference = Inference(mean, CPU, cpu_batch=size)
        assert rows(inference) == list(range(10))
        assert [len(batch) for batch in inference.rows(PICTURES)] == [size] * (10 // size) + [10 % size] * bool(
            10 % size
        )
    assert rows(inference, []) == []


def test_a_batch_that_does_not_fit_is_halved_once_and_for_all() -> None:
    seen: list[int] = []
    inference = Inference(with_room_for(3, seen), CPU, cpu_batch=8)
    assert rows(inference) == list(range(10))
    assert seen == [8, 4, 2, 2, 2, 2, 2]
    assert rows(inference, PICTURES[:2]) == [0, 1]
    assert seen[-1] == inference.batch_size == 2


def test_a_picture_that_does_not_fit_alone_is_an_error() -> None:
    with pytest.raises(
        DeviceError, match=r"device=cpu: has too little memory for one picture of 3x2 px; .*--device cpu"
    ):
        rows(Inference(with_room_for(0, []), CPU, cpu_batch=4))


def test_other_failures_are_raised_as_they_are() -> None:
    def broken(pixels: Tensor) -> Tensor:
        raise RuntimeError("shapes cannot be multiplied")

    with pytest.raises(RuntimeError, match=r"^shapes cannot be multiplied"):
        rows(Inference(broken, CPU, cpu_batch=4))
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"))


def test_half_precision_is_a_gpus_and_what_overflows_is_computed_again() -> None:
    assert not Inference(mean, CPU, cpu_batch=4, half=True).half
    inference = Inference(mean, torch.device("cuda"), cpu_batch=4, half=True)
    assert inference.half
    assert inference.batch_size == GPU_BATCH
    precisions: list[bool] = []

    def large(pixels: Tensor) -> Tensor:
        precisions.append(torch.is_autocast_enabled("cpu"))
        return torch.nn.functional.linear(300.0 * pixels.float().flatten(1), torch.full((1, 6), 9.0))[:, 0]

    on_cpu = Inference(large, CPU, cpu_batch=4)
    expected = rows(on_cpu)
    assert not any(precisions)
    precisions.clear()
    on_cpu.half = True  # as on a GPU: a CPU has fp16 as well
    assert rows(on_cpu) == pytest.approx(expected, rel=1e-3)
    assert precisions == [True, True, True, False, False], "the last two of three batches are above 65,504"


def test_the_precision_of_a_network_is_not_changed_without_half() -> None:
    (found,) = Inference(lambda pixels: pixels.double().mean((1, 2)), CPU, cpu_batch=64).rows(PICTURES)
    assert found.dtype == torch.float64


def test_two_batches_are_decoded_ahead_of_the_network() -> None:
    started, all_started = [], threading.Event()

    def decode(number: int) -> np.ndarray:
        started.append(number)
        if len(started) == 1 + 2 * 20:
            all_started.set()
        return PICTURES[0]

    pictures = decoded_ahead(decode, range(1000), 20)
    next(pictures)
    assert all_started.wait(timeout=30), "without another picture being taken"
    assert len(started) == 1 + 2 * 20


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            NotImplementedError(
                "The operator 'aten::_upsample' is not currently implemented for the MPS device. If you want this op"
            ),
            r"device=mps: torch .* has no aten::_upsample there, .*--device cpu \(in a config: device=cpu\)",
        ),
        (
            NotImplementedError("Could not run 'aten::nms' with arguments from the 'CUDA' backend. This could be"),
            "device=cuda: torch .* has no aten::nms there",
        ),
        (
            TypeError("Cannot convert a MPS Tensor to float64 dtype as the MPS framework doesn't support float64."),
            "device=mps: torch .* has no float64 there",
        ),
    ],
)
def test_an_operation_that_a_device_lacks_is_named(error: Exception, message: str) -> None:
    def network(pixels: Tensor) -> Tensor:
        raise error

    with pytest.raises(DeviceError, match=message):
        rows(Inference(network, CPU, cpu_batch=4))


def test_other_missing_methods_are_no_fault_of_the_device() -> None:
    with pytest.raises(NotImplementedError, match="to be written"), missing_operations_named():
        raise NotImplementedError("to be written")


def test_auto_is_cuda_then_mps_then_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: True)
    assert pick_device("auto").type == "mps"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert pick_device("auto").type == "cuda"
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert pick_device("auto") == CPU
    with pytest.raises(DeviceError, match="device=mps: torch cannot use it here; use device=auto, cpu, cuda or mps"):
        pick_device("mps")
