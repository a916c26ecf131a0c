from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.training.buckets import Bucket, bucket_of, draw_places, fit_to_bucket, resolutions
from fulora.training.seeded_draws import batch_indices

SIZES = st.lists(st.sampled_from([(64, 64), (128, 64), (64, 192)]), min_size=1, max_size=12)


def size_of(width: int, height: int, *, upscale: bool = False) -> tuple[int, int]:
    return bucket_of(width, height, resolution_px=512, step_px=64, upscale=upscale).size


@pytest.mark.parametrize(
    ("image", "expected"),
    [
        ((959, 661), (576, 384)),
        ((1137, 787), (576, 384)),
        ((961, 663), (576, 384)),
        ((692, 480), (576, 384)),
        ((768, 519), (576, 384)),
        ((640, 392), (640, 384)),
        ((740, 448), (640, 384)),
        ((1495, 787), (576, 320)),
        ((961, 498), (576, 320)),
        ((647, 381), (640, 320)),
        ((384, 259), (384, 256)),
    ],
)
def test_the_authors_images_fall_into_kohyas_buckets(image: tuple[int, int], expected: tuple[int, int]) -> None:
    """Computed from sd-scripts: resolution 512, step 64, bucket_no_upscale."""
    assert size_of(*image) == expected
    assert size_of(*image[::-1]) == expected[::-1]


@pytest.mark.real_data
def test_two_thirds_of_the_spanish_images_are_trained_on_at_576x384(data_root: Path) -> None:
    pictures = [
        cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in (data_root / "fetal_planes_lora").glob("*/*.png")
    ]
    assert Counter(size_of(*picture.shape[::-1]) for picture in pictures) == {
        (576, 384): 66,
        (640, 384): 28,
        (576, 320): 3,
        (384, 256): 2,
        (640, 320): 1,
    }


def test_one_side_is_resized_to_a_multiple_of_the_step_and_the_other_keeps_the_shape() -> None:
    assert bucket_of(959, 661, resolution_px=512, step_px=64, upscale=False) == Bucket((576, 397), (576, 384))
    assert bucket_of(961, 498, resolution_px=512, step_px=64, upscale=False) == Bucket((618, 320), (576, 320))


def test_resolutions_to_enlarge_to_are_kohyas() -> None:
    """sd-scripts, make_bucket_resolutions((512, 512), 256, 1024, 64)."""
    wide = [(576, 448), (640, 384), (704, 320), (768, 320), (832, 256), (896, 256), (960, 256), (1024, 256)]
    assert resolutions(512, 64) == sorted([*wide, (512, 512), *((h, w) for w, h in wide)])


@pytest.mark.parametrize(
    ("image", "resized", "size"),
    [
        ((100, 100), (512, 512), (512, 512)),
        ((384, 259), (640, 432), (640, 384)),
        ((704, 320), (704, 320), (704, 320)),
        ((30, 3000), (256, 25600), (256, 1024)),
    ],
)
def test_upscaled_images_cover_the_resolution_of_nearest_shape(
    image: tuple[int, int], resized: tuple[int, int], size: tuple[int, int]
) -> None:
    assert bucket_of(*image, resolution_px=512, step_px=64, upscale=True) == Bucket(resized, size)


@given(
    width=st.integers(16, 4000),
    height=st.integers(16, 4000),
    resolution=st.sampled_from([64, 100, 512, 768]),
    step=st.sampled_from([8, 32, 64]),
    upscale=st.booleans(),
)
def test_buckets_fit_inside_what_is_resized(width: int, height: int, resolution: int, step: int, upscale: bool) -> None:
    try:
        bucket = bucket_of(width, height, resolution_px=resolution, step_px=step, upscale=upscale)
    except LoraError:
        assert not upscale
        return
    assert all(side % step == 0 and side > 0 for side in bucket.size)
    assert all(kept <= whole for kept, whole in zip(bucket.size, bucket.resized, strict=True))
    within = (bucket.size[0] - 1) * (bucket.size[1] - 1) <= resolution**2  # kohya rounds a side up by half a pixel
    assert within or bucket.resized == (width, height)
    if not upscale:
        assert bucket.resized[0] <= width + 1
        assert bucket.resized[1] <= height + 1


@pytest.mark.parametrize("image", [(63, 200), (200, 40), (20000, 100), (100, 20000)])
def test_an_image_smaller_than_a_step_is_refused(image: tuple[int, int]) -> None:
    with pytest.raises(LoraError, match=rf"an image of {image[0]}x{image[1]} pixels .* less than one bucket"):
        size_of(*image)


def test_a_picture_is_cropped_around_its_centre() -> None:
    picture = np.arange(7 * 11, dtype=np.uint8).reshape(7, 11)
    cropped = fit_to_bucket(picture, Bucket((11, 7), (8, 4)))
    np.testing.assert_array_equal(cropped, picture[1:5, 1:9])


def test_a_picture_is_shrunk_by_averaging() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (32, 48)).astype(np.uint8)
    shrunk = fit_to_bucket(picture, Bucket((24, 16), (24, 16)))
    means = picture.reshape(16, 2, 24, 2).mean(axis=(1, 3))
    np.testing.assert_allclose(shrunk, means, atol=0.5)
    assert shrunk.dtype == np.uint8


@given(sizes=SIZES, batch=st.integers(1, 5), cycle=st.integers(0, 2), seed=st.integers(0, 5))
def test_every_image_is_seen_batch_size_times_in_as_many_steps_as_there_are_images(
    sizes: list[tuple[int, int]], batch: int, cycle: int, seed: int
) -> None:
    n = len(sizes)
    drawn = [draw_places(sizes, batch, step, seed).tolist() for step in range(cycle * n, (cycle + 1) * n)]
    assert all(len(places) == batch for places in drawn)
    assert all(len({sizes[place] for place in places}) == 1 for places in drawn)
    assert Counter(place for places in drawn for place in places) == Counter(dict.fromkeys(range(n), batch))


def test_batches_of_one_size_are_those_without_buckets() -> None:
    for step in range(30):
        expected = batch_indices(7, 3, step, 5, "lora", "order")
        assert torch.equal(draw_places([(64, 64)] * 7, 3, step, 5), expected)


def test_a_bucket_goes_on_where_it_stopped() -> None:
    """Batches of one bucket, one after another over cycles, are its own epochs without gaps."""
    sizes = [(64, 64)] * 4 + [(128, 64)] * 3
    drawn = [draw_places(sizes, 2, step, 0).tolist() for step in range(7 * 4)]
    seen = [place for places in drawn for place in places if sizes[place] == (128, 64)]
    epochs = [seen[start : start + 3] for start in range(0, len(seen), 3)]
    assert all(sorted(epoch) == [4, 5, 6] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1


def test_draws_depend_on_the_seed() -> None:
    sizes = [(64, 64)] * 8 + [(128, 64)] * 8
    first, second = ([draw_places(sizes, 2, step, seed).tolist() for step in range(16)] for seed in (0, 1))
    assert first != second
