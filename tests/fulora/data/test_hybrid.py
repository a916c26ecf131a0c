"""Hybrid sets: the stated number of synthetic images per real one, in each plane."""

from collections import Counter

import pytest

from fulora.data.hybrid import MixConfig, chosen_synthetic
from fulora.data.labels import PLANES, Plane, Split
from fulora.data.manifest import Image, ManifestError


def real(plane: Plane, number: int, split: Split = "train") -> Image:
    return Image(
        file_name="", image_id=f"{plane}{number}{split}", plane=plane, split=split, origin="real", source="s", site="A",
        patient=str(number), width=8, height=8, sha256="",
    )  # fmt: skip


def synthetic(plane: Plane, number: int) -> Image:
    made = {"image_id": f"fake_{plane}{number}", "origin": "synthetic", "patient": "", "generator": "g", "seed": "1"}
    return Image.model_validate(real(plane, number).model_dump() | made)


REAL = [
    *(real(plane, n) for k, plane in enumerate(PLANES) for n in range(2 + k)),
    *(real(plane, 50 + n, split) for plane in PLANES for n in range(9) for split in ("validation", "test")),
]
OFFERED = [synthetic(plane, n) for plane in PLANES for n in range(12)]


@pytest.mark.parametrize(
    ("ratio", "counts"), [(1.0, [2, 3, 4, 5, 6]), (2.0, [4, 6, 8, 10, 12]), (0.5, [1, 2, 2, 2, 3])]
)
def test_the_ratio_is_per_real_training_image_and_plane(ratio: float, counts: list[int]) -> None:
    chosen = chosen_synthetic(REAL, OFFERED, MixConfig(ratio=ratio))
    assert [Counter(row.plane for row in chosen)[plane] for plane in PLANES] == counts
    assert len({row.image_id for row in chosen}) == len(chosen)
    assert all(row in OFFERED for row in chosen)


def test_a_ratio_of_nothing_adds_nothing() -> None:
    assert chosen_synthetic(REAL, OFFERED, MixConfig(ratio=0)) == []
    assert chosen_synthetic(REAL, [], MixConfig(ratio=0)) == []


def test_the_seed_decides_which_and_the_order_of_the_offer_does_not() -> None:
    chosen = chosen_synthetic(REAL, OFFERED, MixConfig(ratio=1))
    assert chosen_synthetic(REAL[::-1], OFFERED[::-1], MixConfig(ratio=1)) == chosen
    assert chosen_synthetic(REAL, OFFERED, MixConfig(ratio=1, seed=1)) != chosen


def test_a_larger_ratio_keeps_what_a_smaller_one_took() -> None:
    few = {row.image_id for row in chosen_synthetic(REAL, OFFERED, MixConfig(ratio=1))}
    assert few < {row.image_id for row in chosen_synthetic(REAL, OFFERED, MixConfig(ratio=2))}


def test_too_few_synthetic_images_are_an_error() -> None:
    with pytest.raises(ManifestError, match=r"other: ratio 2\.5 wants 15 synthetic images and there are 12; lower mix"):
        chosen_synthetic(REAL, OFFERED, MixConfig(ratio=2.5))
