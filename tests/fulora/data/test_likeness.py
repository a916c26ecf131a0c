"""Near duplicates: changed copies are found, other pictures and constant ones are not."""

import cv2
import numpy as np
import pytest

from fulora.data.pictures import near_duplicates
from fulora.data.pictures.near_duplicates import compute_signature, near_pairs
from fulora.intake.phantoms.scan import draw

PICTURES = draw("brain", range(4), site="A", size_px=128, seed=5).images


def scaled(picture: np.ndarray) -> np.ndarray:
    return cv2.resize(picture, (200, 170), interpolation=cv2.INTER_LINEAR)


def brightened(picture: np.ndarray) -> np.ndarray:
    return np.clip(picture * 1.2 + 8, 0, 255).astype(np.uint8)


def cropped(picture: np.ndarray) -> np.ndarray:
    return picture[1:, 1:]


def compressed(picture: np.ndarray) -> np.ndarray:
    return cv2.imdecode(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1], cv2.IMREAD_GRAYSCALE)


@pytest.mark.parametrize("change", [np.copy, scaled, brightened, cropped, compressed])
def test_a_changed_copy_is_near_its_original_alone(change) -> None:  # type: ignore[no-untyped-def]
    found = near_pairs([*map(compute_signature, PICTURES), compute_signature(change(PICTURES[2]))])
    assert [pair[:2] for pair in found] == [(2, 4)]
    assert 0.95 <= found[0][2] <= 1.0


def test_constant_and_unreadable_pictures_are_like_none() -> None:
    flat = compute_signature(np.full((40, 40), 7, np.uint8))
    assert near_pairs([flat, flat, None, None, compute_signature(PICTURES[0])]) == []
    assert near_pairs([]) == []


def test_all_pairs_are_compared_however_many_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    pictures = [compute_signature(change(picture)) for change in (np.copy, scaled, brightened) for picture in PICTURES]
    found = near_pairs(pictures)
    assert {pair[:2] for pair in found} == {(a, b) for a in range(12) for b in range(a + 1, 12) if a % 4 == b % 4}
    for at_once in (1, 30):
        monkeypatch.setattr(near_duplicates, "AT_ONCE", at_once)
        assert near_pairs(pictures) == found
