"""Features of a network that comes from a file, checked before any distance is taken of them."""

from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float, UInt8

from fulora.training.devices import DeviceError, is_out_of_memory, missing_operations_named

Features = Float[np.ndarray, "n d"]
GrayPicture = UInt8[np.ndarray, "_ _"]
Encode = Callable[[Sequence[GrayPicture]], Features]
"""Pictures in, one vector each out."""

NOISE, SHARE, CONSTANT = 1e-4, 1e-2, 1e-6
"""Differences that arithmetic may make, of the largest feature and of the spread between pictures; and of the largest
feature, a spread that is none."""
FAILURES = (RuntimeError, ValueError, TypeError, LookupError, AssertionError, AttributeError, torch.jit.Error)
"""Exceptions of networks that cannot take their input."""


class EncoderError(ValueError):
    """An encoder that cannot be loaded, or whose features are useless."""


def rows_of(name: str, received: str, network: Callable[[torch.Tensor], object], pixels: torch.Tensor) -> torch.Tensor:
    """Compute features of pictures as (pictures, features) in fp32, on their device; feature maps are flattened.

    Args:
        received: what `pixels` are, for the message.

    Raises:
        EncoderError: the network fails, or gives no tensor of numbers with a row for each picture.
    """
    given = _given(name, received, pixels.shape)
    try:
        with missing_operations_named():
            output = network(pixels)
    except FAILURES as error:
        if isinstance(error, DeviceError) or (isinstance(error, RuntimeError) and is_out_of_memory(error)):
            raise
        lines = [line for line in str(error).splitlines() if line.strip()]
        reason = (lines or [type(error).__name__])[-1].strip()
        raise EncoderError(f"{given} failed: {reason}; it has to be made for such pictures") from error
    needed = _needed(len(pixels))
    if not isinstance(output, torch.Tensor):
        raise EncoderError(f"{given} returned a {type(output).__name__}; {needed}")
    if output.ndim < 2 or len(output) != len(pixels) or not output.numel() or output.is_complex():
        shape = " x ".join(map(str, output.shape)) or "a single number"
        raise EncoderError(f"{given} returned {shape} ({str(output.dtype).removeprefix('torch.')}); {needed}")
    return output.float().flatten(1)


def check_finite(name: str, received: str, side: int, features: Features) -> None:
    """Check the features of one batch of pictures.

    Args:
        received: what the network was given, for the message.
        side: of the pictures, in pixels.

    Raises:
        EncoderError: one is NaN or infinity.
    """
    if not np.isfinite(features).all():
        given = _given(name, received, (len(features), 3, side, side))
        raise EncoderError(f"{given} returned NaN or infinity; {_needed(len(features))}: its weights may be damaged")


def _given(name: str, received: str, shape: Sequence[int]) -> str:
    return f"{name}: the network received {' x '.join(map(str, shape))}, {received}, and"


def _needed(pictures: int) -> str:
    return f"one vector of numbers for each of the {pictures} pictures is needed"


def check_stable(name: str, received: str, encode: Encode, picture: GrayPicture) -> None:
    """Encode a picture and its negative: together, again, and the picture alone.

    Args:
        received: what the network is given, for the message.

    Raises:
        EncoderError: other features at the second time, in another batch, or the same features for both pictures.
    """
    pair = [picture, 255 - picture]
    first, again, alone = encode(pair), encode(pair), encode(pair[:1])
    largest, spread = float(np.abs(first).max()), float(np.abs(first[0] - first[1]).max())
    allowed = NOISE * largest + SHARE * spread
    given = f"{name}: the network received {received}, and returned"
    if np.abs(first - again).max() > allowed:
        raise EncoderError(
            f"{given} other features for the same pictures a second time: it is random, such as by dropout; save it "
            "in evaluation mode (model.eval())"
        )
    if np.abs(first[0] - alone[0]).max() > allowed:
        raise EncoderError(
            f"{given} other features for a picture alone than beside another one: they depend on the batch, such as "
            "by batch normalisation in training mode; save it in evaluation mode (model.eval())"
        )
    if np.ptp(picture) and spread <= CONSTANT * largest:
        raise EncoderError(f"{given} the same features for a picture and its negative: it does not distinguish them")


def check_varied(name: str, features: Features, pictures: Sequence[GrayPicture]) -> None:
    """Raise EncoderError if four or more different pictures have equal features."""
    if len(features) < 4 or np.ptp(features, axis=0).max() > CONSTANT * np.abs(features).max():
        return
    if (different := len({(picture.shape, picture.tobytes()) for picture in pictures})) >= 4:
        raise EncoderError(f"{name}: gives {different} different pictures equal features: it does not distinguish them")
