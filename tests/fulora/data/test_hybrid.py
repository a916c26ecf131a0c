"""Hybrid sets and their control arms: the same numbers in each plane, whatever is added, and counted rejects."""

from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row, synthetic_row
from pydantic import ValidationError

from fulora.data.column_types import Plane, Split
from fulora.data.hybrid import (
    MixConfig,
    MixRecord,
    Selection,
    added_counts,
    balance_classes,
    filter_repeats,
    is_not_blank,
    schedule_of,
    select_real,
    synthetic_share,
)
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import Picture
from fulora.data.label_set import label_set
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.real_copies import augment, make_copies


def real(plane: Plane, number: int, split: Split = "train") -> Image:
    return image_row(f"{plane}{number}{split}", plane=plane, split=split, patient=str(number))


def synthetic(plane: Plane, number: int) -> Image:
    return synthetic_row(f"fake_{plane}{number}", plane=plane)


def load(row: Image) -> Picture:
    """Noise that depends on the id."""
    return Picture(row, np.random.default_rng(list(row.image_id.encode())).integers(0, 256, (8, 8)).astype(np.uint8))


FETAL = label_set("fetal_planes")
PLANES = FETAL.names
TRAIN = [real(plane, n) for k, plane in enumerate(PLANES) for n in range(2 + k)]
REAL = [*TRAIN, *(real(plane, 50 + n, s) for plane in PLANES for n in range(9) for s in ("validation", "test"))]
OFFERED = [synthetic(plane, n) for plane in PLANES for n in range(12)]


def chosen(config: MixConfig, offered: Sequence[Image] = OFFERED) -> list[Image]:
    filters = {"blank": is_not_blank, "duplicate": filter_repeats([])}
    return Selection(config, filters).choose(added_counts(REAL, config, FETAL), offered, load)  # type: ignore[arg-type]


def by_plane(rows: Sequence[Image]) -> list[int]:
    counts = Counter(row.plane for row in rows)
    return [counts[plane] for plane in PLANES]


@pytest.mark.parametrize(
    ("values", "counts"),
    [
        ({"ratio": 1.0}, [2, 3, 4, 5, 6]),
        ({"ratio": 2.0}, [4, 6, 8, 10, 12]),
        ({"ratio": 0.5}, [1, 2, 2, 2, 3]),
        ({"ratio": 0}, [0, 0, 0, 0, 0]),
        ({"ratio": {"brain": 2, "other": 1.5}}, [0, 6, 0, 0, 9]),
        ({"ratio": 2.0, "cap": 7}, [4, 6, 7, 7, 7]),
        ({"ratio": 0, "prior": "uniform"}, [4, 3, 2, 1, 0]),
        ({"ratio": 1.0, "prior": "uniform"}, [10, 9, 8, 7, 6]),
    ],
)
def test_what_is_added_is_counted_by_plane(values: dict[str, object], counts: list[int]) -> None:
    config = MixConfig.model_validate(values)
    assert [added_counts(REAL, config, FETAL)[plane] for plane in PLANES] == counts
    rows = chosen(config)
    assert by_plane(rows) == counts
    assert len({row.image_id for row in rows}) == len(rows)
    assert all(row in OFFERED for row in rows)
    if config.prior == "uniform":
        assert len(set(by_plane([*TRAIN, *rows]))) == 1


@pytest.mark.parametrize("arm", ["duplicated", "augmented"])
def test_control_arms_add_as_many_and_no_synthetic_ones(arm: str) -> None:
    config = MixConfig.model_validate({"ratio": 2.5, "arm": arm})
    made = list(make_copies(TRAIN, added_counts(REAL, config, FETAL), load, config))
    assert by_plane([p.row for p in made]) == [5, 8, 10, 12, 15]
    assert len({p.row.image_id for p in made}) == len(made)
    assert {p.row.origin for p in made} == {"real"}
    times = Counter(p.row.patient for p in made if p.row.plane == "brain")
    assert max(times.values()) - min(times.values()) <= 1  # each as often as any other
    originals = {(row.plane, row.patient): load(row).pixels for row in TRAIN}
    same = [np.array_equal(p.pixels, originals[p.row.plane, p.row.patient]) for p in made]
    assert all(same) if arm == "duplicated" else not any(same)


def test_copies_need_an_original() -> None:
    with pytest.raises(ImageSetError, match="brain: 3 copies are wanted and there is no real image of it"):
        list(make_copies([], {"brain": 3}, load, MixConfig()))


def test_balanced_keeps_as_many_of_each_plane_as_the_rarest_has() -> None:
    chosen = balance_classes(TRAIN, 0)
    assert by_plane(chosen) == [2] * 5
    assert chosen == [row for row in TRAIN if row in chosen]
    assert balance_classes(TRAIN, 1) != chosen
    assert balance_classes([], 0) == []


def test_the_seed_decides_which_and_the_order_of_the_offer_does_not() -> None:
    rows = chosen(MixConfig(ratio=1))
    assert chosen(MixConfig(ratio=1), OFFERED[::-1]) == rows
    assert chosen(MixConfig(ratio=1, seed=1)) != rows
    assert {row.image_id for row in rows} < {row.image_id for row in chosen(MixConfig(ratio=2))}


def test_a_ratio_below_nothing() -> None:
    for ratio in (-1, {"brain": 1, "femur": -0.1}):
        with pytest.raises(ValidationError, match="it is 0 or more added images per real one"):
            MixConfig.model_validate({"ratio": ratio})


def test_filters_reject_are_counted_and_replaced() -> None:
    def offer(row: Image) -> Picture:
        """Every third picture is blank, every other third one is the same as all of its kind."""
        number = int(row.image_id.removeprefix("fake_brain"))
        black = np.zeros((8, 8), np.uint8)
        return Picture(row, black) if number % 3 == 0 else load(row if number % 3 == 1 else OFFERED[0])

    offered = [synthetic("brain", n) for n in range(12)]
    selection = Selection(MixConfig(), {"blank": is_not_blank, "duplicate": filter_repeats([])})
    rows = selection.choose({"brain": 5}, offered, offer)
    assert len(rows) == 5
    passed = [int(row.image_id.removeprefix("fake_brain")) % 3 for row in rows]
    assert Counter(passed) == {1: 4, 2: 1}
    assert set(selection.rejected["brain"]) == {"blank", "duplicate"}
    again = Selection(MixConfig(), {"blank": is_not_blank, "duplicate": filter_repeats([])})
    with pytest.raises(
        ImageSetError,
        match=r"brain: 6 synthetic images are wanted and there are 12, of which 5 pass.*blank 4.*; lower the ratio",
    ):
        again.choose({"brain": 6}, offered, offer)
    assert again.rejected["brain"] == {"blank": 4, "duplicate": 3}


def test_a_synthetic_copy_of_a_real_picture_is_a_duplicate() -> None:
    picture = load(TRAIN[0])
    assert not filter_repeats([pixel_digest(picture.pixels)])(picture)


def test_schedules() -> None:
    assert synthetic_share("mixed", 0.3) is None
    assert [synthetic_share("synthetic_then_real", p) for p in (0.0, 0.49, 0.5, 0.99)] == [1, 1, 0, 0]
    assert [synthetic_share("anneal", p) for p in (0.0, 0.25, 1.0)] == [1, 0.75, 0]


def test_a_hybrid_set_says_how_training_is_to_meet_it(tmp_path: Path) -> None:
    assert schedule_of(tmp_path) == "mixed"
    record = MixRecord(arm="hybrid", schedule="anneal", added={"brain": 3}, rejected={"brain": {"blank": 1}})
    (tmp_path / "mix.json").write_text(record.model_dump_json())
    assert schedule_of(tmp_path) == "anneal"


def test_augmented_pictures_are_moved_a_little_and_drawn_by_seed() -> None:
    rows, columns = np.mgrid[:64, :64]
    disc = ((rows - 31.5) ** 2 + (columns - 31.5) ** 2 < 15**2).astype(np.uint8) * 200
    disc[31:33, 5:10] = 200
    found = [augment(disc, seed) for seed in range(40)]
    assert np.array_equal(found[0], augment(disc, 0))
    assert len({picture.tobytes() for picture in found}) == 40
    areas = [(picture > 90).sum() / (disc > 90).sum() for picture in found]
    assert 0.75 < min(areas) < 0.95 < 1.05 < max(areas) < 1.3  # scaled by up to 10 % either way
    left = [picture[:, :15].max() > 90 for picture in found]
    assert 5 < sum(left) < 35  # flipped about half of the time


def test_so_many_of_each_plane_are_kept_or_refused() -> None:
    config = MixConfig(real="balanced", real_per_plane=1)
    assert by_plane(select_real(TRAIN, config)) == [1] * 5
    assert select_real(TRAIN, MixConfig()) == TRAIN
    assert select_real(TRAIN, MixConfig(real="none")) == []
    with pytest.raises(ImageSetError, match=r"real_per_plane=4: there are fewer real training images of abdomen 2, "):
        select_real(TRAIN, MixConfig(real="balanced", real_per_plane=4))


def test_synthetic_alone_are_as_many_as_with_real_ones() -> None:
    both, alone = MixConfig(ratio=2.0), MixConfig(ratio=2.0, real="none")
    assert [added_counts(REAL, alone, FETAL)[p] for p in PLANES] == [
        added_counts(REAL, both, FETAL)[p] + n for p, n in zip(PLANES, by_plane(TRAIN), strict=True)
    ]
    uniform = MixConfig(ratio=1.0, real="none", prior="uniform")
    assert [added_counts(REAL, uniform, FETAL)[p] for p in PLANES] == [12] * 5
    assert added_counts(REAL, MixConfig(arm="none"), FETAL) == {}


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"real": "none", "arm": "duplicated"}, "real=none leaves nothing to train on with arm=duplicated"),
        ({"real_per_plane": 3}, "real_per_plane=3 is for real=balanced, and it is all"),
    ],
)
def test_what_does_not_add_up_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        MixConfig.model_validate(values)
