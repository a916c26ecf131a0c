"""ImageNet weights of a MobileNetV2 from one local file, put into a classifier or the encoder of a U-Net.

The file (google-coral/test_data, Apache-2.0) holds the convolutions with batch norm folded into them: weight and bias
only. Two things differ from PyTorch's MobileNetV2 and are taken care of here:

- *Padding.* TensorFlow's "SAME" pads a 3x3 convolution of stride 2 on the right and below only, where PyTorch pads all
  round. `pad_like_tensorflow` makes the encoder do as TensorFlow does; its features are exact for even sizes.
- *Batch norm.* `load_folded` sets each so that it adds the bias and nothing else. In training mode that would normalise
  features which were never normalised; `unfold_batch_norm` gives each norm the statistics of real inputs and leaves the
  function it computes unchanged, so that an encoder that learns may stay in training mode.
"""

import zipfile
from functools import partial
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

LAYERS = 53
"""52 convolutions of the encoder, and the classifier's last layer."""


class EncoderFileError(ValueError):
    """The file does not hold the folded MobileNetV2."""


def read_folded(path: Path) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    """Read the weight (out, in / groups, height, width) and bias (out,) of each of the 53 layers, in order.

    Raises:
        EncoderFileError: if it is not a readable `.npz` of these layers.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name].astype(np.float32) for name in archive.files}
    except (OSError, ValueError, AttributeError, TypeError, EOFError, zipfile.BadZipFile) as error:
        raise EncoderFileError(f"{path}: not a readable .npz of the folded MobileNetV2 ({error})") from error
    weights = sorted(name for name in arrays if name.endswith(".weight"))
    biases = sorted(name for name in arrays if name.endswith(".bias"))
    if len(weights) != LAYERS or [name[:2] for name in weights] != [name[:2] for name in biases]:
        raise EncoderFileError(
            f"{path}: {len(weights)} weights and {len(biases)} biases, where a folded MobileNetV2 has {LAYERS} of each "
            "(keys NN.conv.weight or NN.dw.weight, and NN.bias)"
        )
    return [(arrays[weight], arrays[bias]) for weight, bias in zip(weights, biases, strict=True)]


@torch.no_grad()
def load_folded(encoder: nn.Module, path: Path) -> None:
    """Load the file into a MobileNetV2: batch norms then compute `y + bias`, strides are padded as in TensorFlow.

    An encoder of one gray channel gets the first convolution summed over the three colours, which computes the same.

    Raises:
        EncoderFileError: if the file or the encoder is not a MobileNetV2 of width 1.0.
    """
    layers = read_folded(path)[:-1]
    pairs = _convolutions(encoder)
    if pairs and pairs[0][0].in_channels == 1:
        layers[0] = (layers[0][0].sum(axis=1, keepdims=True), layers[0][1])
    if [weight.shape for weight, _ in layers] != [tuple(conv.weight.shape) for conv, _ in pairs]:
        raise EncoderFileError(f"{path}: its layers do not have the shapes of this encoder's; it fits a mobilenet_v2")
    for (conv, norm), (weight, bias) in zip(pairs, layers, strict=True):
        conv.weight.copy_(torch.tensor(weight))
        _set_norm(norm, torch.zeros(len(bias)), torch.ones(len(bias)), torch.tensor(bias))
    pad_like_tensorflow(encoder)


def pad_like_tensorflow(encoder: nn.Module) -> None:
    """Make the 3x3 convolutions of stride 2 pad one row below and one column on the right, and nothing else; once."""
    for conv, _ in _convolutions(encoder):
        if conv.stride == (2, 2) and conv.padding != (0, 0):
            conv.padding = (0, 0)
            conv.register_forward_pre_hook(_pad_below_and_right)


def _pad_below_and_right(_: nn.Module, inputs: tuple[Tensor]) -> Tensor:
    return functional.pad(inputs[0], (0, 1, 0, 1))


@torch.no_grad()
def unfold_batch_norm(encoder: nn.Module, inputs: Float[Tensor, "b 3 h w"]) -> None:
    """Give the batch norms of a folded encoder the statistics of `inputs`, without changing what it computes.

    With mean m and variance v of a convolution's output y, scale sqrt(v + eps) and shift bias + m:
    scale (y - m) / sqrt(v + eps) + shift = y + bias, as before; in training mode nearly the same.
    """
    encoder.eval()
    seen: dict[nn.Module, tuple[Tensor, Tensor]] = {}
    norms = [norm for _, norm in _convolutions(encoder)]
    hooks = [norm.register_forward_pre_hook(partial(_note, seen)) for norm in norms]
    encoder(inputs)
    for norm, hook in zip(norms, hooks, strict=True):
        hook.remove()
        _set_norm(norm, *seen[norm], norm.bias - norm.get_buffer("running_mean"))


def _note(seen: dict[nn.Module, tuple[Tensor, Tensor]], norm: nn.Module, inputs: tuple[Tensor]) -> None:
    seen[norm] = (inputs[0].mean((0, 2, 3)), inputs[0].var((0, 2, 3)))


def _set_norm(norm: nn.BatchNorm2d, mean: Tensor, variance: Tensor, bias: Tensor) -> None:
    norm.weight.copy_((variance + norm.eps).sqrt())
    norm.bias.copy_(bias + mean)
    norm.get_buffer("running_mean").copy_(mean)
    norm.get_buffer("running_var").copy_(variance)


def _convolutions(encoder: nn.Module) -> list[tuple[nn.Conv2d, nn.BatchNorm2d]]:
    convs = [module for module in encoder.modules() if isinstance(module, nn.Conv2d)]
    norms = [module for module in encoder.modules() if isinstance(module, nn.BatchNorm2d)]
    return list(zip(convs, norms, strict=True))
