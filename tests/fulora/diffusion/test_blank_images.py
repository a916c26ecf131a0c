"""The blank-image check: every fault is found, and no real image is rejected."""

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import get_args

import numpy as np
import pytest
from jaxtyping import UInt8
from PIL import Image as Pil

from fulora.diffusion.sets.blank_images import (
    BLACK_LEVEL,
    GATE,
    SATURATED_LEVEL,
    Fault,
    RejectionCounts,
    find_fault,
    read_counts,
)
from fulora.intake.formats.metaimage import read_mha

SIDE = 40
Form = Callable[[np.ndarray], np.ndarray]


def noise(low: int, high: int) -> UInt8[np.ndarray, "40 40"]:
    return np.random.default_rng(0).integers(low, high, (SIDE, SIDE)).astype(np.uint8)


def patched(ground: UInt8[np.ndarray, "40 40"], share: float, level: int) -> UInt8[np.ndarray, "40 40"]:
    """A picture of which a share, from the top on, has another level."""
    pixels = ground.copy().reshape(-1)
    pixels[: round(share * pixels.size)] = level
    return pixels.reshape(ground.shape)


def coloured(gray: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return np.repeat(gray[:, :, None], 3, axis=2)


@pytest.mark.parametrize("form", [lambda gray: gray, coloured], ids=["gray", "rgb"])
@pytest.mark.parametrize(
    ("pixels", "expected"),
    [
        (noise(0, 256), None),
        (noise(40, 60), None),
        (np.zeros((SIDE, SIDE), np.uint8), "black"),
        (noise(0, BLACK_LEVEL), "black"),
        (patched(noise(0, BLACK_LEVEL), 0.005, 255), "black"),
        (patched(noise(0, BLACK_LEVEL), 0.02, 60), None),
        (np.full((SIDE, SIDE), 255, np.uint8), "saturated"),
        (patched(noise(40, 60), 0.31, SATURATED_LEVEL), "saturated"),
        (patched(noise(40, 60), 0.29, 255), None),
        (patched(noise(40, 60), 0.31, SATURATED_LEVEL - 1), None),
        (np.full((SIDE, SIDE), 128, np.uint8), "constant"),
        (noise(126, 131), "constant"),
        (noise(124, 133), None),
    ],
)
def test_faults(form: Form, pixels: UInt8[np.ndarray, "40 40"], expected: str | None) -> None:
    assert find_fault(form(pixels), finite=True) == expected


def test_what_is_no_number_comes_first() -> None:
    assert find_fault(np.zeros((SIDE, SIDE), np.uint8), finite=False) == "nan"
    assert find_fault(noise(0, 256), finite=False) == "nan"


@pytest.mark.parametrize("colour", [(200, 100, 50), (255, 0, 0), (255, 255, 0)])
def test_one_colour_alone_shows_nothing(colour: tuple[int, int, int]) -> None:
    """Its levels differ, from channel to channel."""
    assert find_fault(np.full((SIDE, SIDE, 3), colour, np.uint8), finite=True) == "constant"


@pytest.mark.slow
@pytest.mark.real_data
def test_no_real_image_is_rejected(data_root: Path) -> None:
    """Planes of six countries and heads of two challenges. The nearest are far off: 78 of 255, 2 %, a spread of 19."""
    paths = [
        *(data_root / "african").rglob("*.png"),
        *(path for path in (data_root / "hc18").rglob("*.png") if not path.stem.endswith("_Mask")),
        *(data_root / "fetal_planes_lora").rglob("*.png"),
        *(data_root / "psfhs" / "image_mha").glob("*.mha"),
    ]
    count, rejected = Counter[str](), []
    for path in paths:
        pixels = read_mha(path)[0] if path.suffix == ".mha" else np.asarray(Pil.open(path).convert("L"))
        count[path.relative_to(data_root).parts[0]] += 1
        assert np.percentile(pixels, 99) > 4 * BLACK_LEVEL
        assert (pixels >= SATURATED_LEVEL).mean() < 0.02
        assert pixels.std() > 19
        if (cause := find_fault(pixels, finite=True)) is not None:
            rejected.append((path.name, cause))
    assert count == {"african": 217, "hc18": 296, "fetal_planes_lora": 100, "psfhs": 300}
    assert not rejected


def test_counts_are_read_back_where_there_are_any(tmp_path: Path) -> None:
    assert read_counts(tmp_path) is None
    counts = RejectionCounts(images=3, drawn=5, rejected={"brain": {"black": 1, "duplicate": 1}, "femur": {}})
    (tmp_path / GATE).write_text(counts.model_dump_json())
    assert read_counts(tmp_path) == counts
    assert get_args(Fault) == ("nan", "black", "saturated", "constant", "duplicate")
