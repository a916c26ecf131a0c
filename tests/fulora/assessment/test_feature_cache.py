"""Kept features that are damaged are computed again."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from fulora.assessment.encoders import Encoder


def flipped(content: bytes) -> bytes:
    middle = content.index(b"NUMPY") + 140
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    "spoil", [lambda content: content[:-30], lambda content: b"", lambda content: b"words", flipped]
)
def test_damaged_features_are_computed_again(tmp_path: Path, spoil: Callable[[bytes], bytes]) -> None:
    asked: list[int] = []

    def encode(pictures: Sequence[np.ndarray]) -> np.ndarray:
        asked.append(len(pictures))
        return np.array([[picture.mean(), picture.std()] for picture in pictures])

    encoder = Encoder("mean", "mean 1", encode)
    pictures = [np.full((4, 4), value, np.uint8) for value in (1, 2, 3)]
    first = encoder.features(pictures, tmp_path)
    assert np.array_equal(encoder.features(pictures, tmp_path), first)
    assert asked == [3]
    (file,) = tmp_path.iterdir()
    file.write_bytes(spoil(file.read_bytes()))
    assert np.array_equal(encoder.features(pictures, tmp_path), first)
    assert asked == [3, 3]
    assert np.array_equal(encoder.features(pictures, tmp_path), first)
    assert asked == [3, 3]
