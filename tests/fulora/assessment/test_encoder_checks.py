"""Networks of files whose features would make every distance meaningless are refused by name."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from fulora.assessment.encoder_checks import EncoderError, check_stable, check_varied, rows_of
from fulora.assessment.encoders import load_encoder
from fulora.digests import file_digest

PICTURES = list(np.random.default_rng(0).integers(0, 256, (4, 40, 40)).astype(np.uint8))


class Network(torch.nn.Module):
    """Features of its own, changed in one way that is wrong; "" changes nothing."""

    def __init__(self, fault: str) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.fault = fault
        self.layer = torch.nn.Conv2d(3, 8, 5, stride=16)
        self.one = torch.nn.Conv2d(1, 8, 5)

    def forward(self, x: Tensor) -> Tensor:
        found = self.layer(x).mean((2, 3))
        if self.fault == "nan":
            found = found * float("nan")
        if self.fault == "constant":
            found = found * 0.0 + 1.0
        if self.fault == "random":
            found = found + torch.rand_like(found)
        if self.fault == "batch":
            found = found - found.mean(0, keepdim=True)
        if self.fault == "one row":
            found = found[:1]
        if self.fault == "flat":
            found = found.flatten()
        if self.fault == "scalar":
            found = found.mean()
        if self.fault == "none":
            found = found[:, :0]
        if self.fault == "complex":
            found = torch.complex(found, found)
        if self.fault == "gray":
            found = self.layer(x.mean(1, keepdim=True)).mean((2, 3))
        return found


def encoded(module: Any, tmp_path: Path) -> np.ndarray:
    file = tmp_path / "network.pt"
    module.eval().save(str(file))
    return load_encoder(f"torchscript:{file}", trusted=[file_digest(file)]).features(PICTURES)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("nan", r"received 2 x 3 x 288 x 288, ImageNet-normalised, and returned NaN or infinity"),
        ("constant", "the same features for a picture and its negative"),
        ("random", "other features for the same pictures a second time"),
        ("batch", "N x 3 x 288 x 288, ImageNet-normalised, and returned .* depend on the batch"),
        ("one row", r"returned 1 x 8 \(float32\); one vector of numbers for each of the 2 pictures"),
        ("flat", r"returned 16 \(float32\); one vector"),
        ("scalar", r"returned a single number \(float32\); one vector"),
        ("none", r"returned 2 x 0 \(float32\); one vector"),
        ("complex", r"returned 2 x 8 \(complex64\); one vector"),
        ("gray", "2 x 3 x 288 x 288, ImageNet-normalised, and failed: .*to have 3 channels, but got 1"),
    ],
)
def test_features_of_no_use_are_refused(fault: str, message: str, tmp_path: Path) -> None:
    with pytest.raises(EncoderError, match=rf"torchscript:.*network\.pt: the network .*{message}"):
        encoded(torch.jit.script(Network(fault)), tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_one_that_was_traced_for_another_size_is_refused(tmp_path: Path) -> None:
    network = torch.nn.Sequential(torch.nn.AvgPool2d(28), torch.nn.Flatten(), torch.nn.Linear(3 * 8 * 8, 4))
    with pytest.raises(EncoderError, match=r"288 x 288, ImageNet-normalised, and failed: .*cannot be multiplied"):
        encoded(torch.jit.trace(network, torch.zeros(1, 3, 224, 224)), tmp_path)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_a_valid_encoder_is_not_refused(tmp_path: Path) -> None:
    assert encoded(torch.jit.script(Network("")), tmp_path).shape == (4, 8)


def test_something_else_than_a_tensor_is_refused() -> None:
    with pytest.raises(EncoderError, match=r"mine: .* returned a tuple; one vector"):
        rows_of("mine", "gray", lambda pixels: (pixels, pixels), torch.zeros(2, 3, 4, 4))


def test_noise_of_arithmetic_is_not_refused() -> None:
    random = np.random.default_rng(0)

    def noisy(scale: float) -> Callable[..., np.ndarray]:
        return lambda given: np.stack([p.reshape(-1)[:9] + random.normal(0, scale, 9) for p in given])

    check_stable("mine", "gray", noisy(1e-3), PICTURES[0])
    with pytest.raises(EncoderError, match="a second time"):
        check_stable("mine", "gray", noisy(30), PICTURES[0])


def test_equal_features_of_equal_pictures_are_not_refused() -> None:
    same = np.ones((4, 3))
    check_varied("mine", same, [PICTURES[0]] * 4)
    check_varied("mine", same[:3], PICTURES[:3])
    with pytest.raises(EncoderError, match="mine: gives 4 different pictures equal features"):
        check_varied("mine", same, PICTURES)
