"""Hybrid sets: real images and a given number of added ones.

The number added to each plane follows from the config and the real images alone, so that all arms of a study have the
same size and the same class prior and differ only in the added images.
"""

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config
from fulora.data.column_types import Plane
from fulora.data.image import Image, ImageSetError
from fulora.data.image_set import Picture
from fulora.data.label_set import LabelSet
from fulora.data.pictures.pixels import is_blank, pixel_digest
from fulora.environment import derive_seed
from fulora.json_files import read_json

Arm = Literal["none", "hybrid", "duplicated", "augmented"]
Schedule = Literal["mixed", "synthetic_then_real", "anneal"]
FilterName = Literal["blank", "duplicate", "brightness", "near_duplicate", "memorised", "clip", "plane"]
ASSESSED: tuple[FilterName, ...] = ("brightness", "near_duplicate", "memorised", "clip", "plane")
"""Filters whose results are in the assessment of a synthetic set."""

MIX_RECORD = "mix.json"

MAX_RATIO = 1_000_000


class MixConfig(Config):
    """How a hybrid set is mixed.

    Attributes:
        real: which real training images are kept: `all`, as many of every plane (`balanced`: as the rarest has, or
            `real_per_plane`), or `none`, with as many more added.
        real_per_plane: of real=balanced: real images of every plane; null is as many as the rarest has.
        arm: what is added: `hybrid` adds synthetic images; `duplicated` adds copies of the real ones and `augmented`
            turned, scaled, flipped and brightened copies, in the same numbers; `none` adds nothing.
        ratio: added images per real training image that is kept, for all planes or plane by plane.
        cap: at most so many added images of a plane.
        prior: `real` keeps the real shares of the planes; `uniform` adds until every plane has as many images as the
            largest, whatever the cap.
        schedule: how training meets them: `mixed` all the time, `synthetic_then_real` in two halves, `anneal` with a
            share of added images that falls from all to none.
        filters: that reject synthetic images. `blank`: blank images; `duplicate`: copies, pixel for pixel, of a real
            image or another synthetic one. The others are calibrated on real images (`fulora.assessment`):
            `memorised`: near one training patient and far from all others; `near_duplicate`: nearer to another
            synthetic image than patients are to each other; `brightness`: outside the range of real images; `clip` and
            `plane`: not of the requested plane by a CLIP, or by judges trained on real images.
        too_few: if fewer synthetic images of a plane pass than are needed, `fail`, or `repeat` those that pass, so
            that arms keep equal numbers and the same prior; `mix.json` says how many were repeated.
        seed: selects the images that are added.
    """

    real: Literal["all", "balanced", "none"] = "all"
    real_per_plane: PositiveInt | None = None
    arm: Arm = "hybrid"
    ratio: float | dict[Plane, float] = 1.0
    cap: PositiveInt | None = None
    prior: Literal["real", "uniform"] = "real"
    schedule: Schedule = "mixed"
    filters: tuple[FilterName, ...] = ("blank", "duplicate", "memorised")
    too_few: Literal["fail", "repeat"] = "fail"
    seed: int = 0

    @property
    def assessed(self) -> bool:
        """Whether its filters need the assessment of the synthetic images."""
        return self.arm == "hybrid" and bool(set(self.filters) & set(ASSESSED))

    @field_validator("ratio")
    @classmethod
    def _not_negative(cls, value: float | dict[Plane, float]) -> float | dict[Plane, float]:
        if not all(0 <= number <= MAX_RATIO for number in (value.values() if isinstance(value, dict) else [value])):
            raise ValueError(f"it is 0 or more added images per real one, at most {MAX_RATIO:,}")
        return value

    @model_validator(mode="after")
    def _adds_up(self) -> "MixConfig":
        if self.real == "none" and self.arm != "hybrid":
            raise ValueError(f"real=none leaves nothing to train on with arm={self.arm}; set arm=hybrid")
        if self.real_per_plane is not None and self.real != "balanced":
            raise ValueError(f"real_per_plane={self.real_per_plane} is for real=balanced, and it is {self.real}")
        return self

    def ratio_of(self, plane: Plane) -> float:
        """Return the number of added images per real one of a plane."""
        return self.ratio.get(plane, 0.0) if isinstance(self.ratio, dict) else self.ratio


class MixRecord(Config):
    """`mix.json` of a hybrid set: numbers of added, rejected and repeated images, by plane."""

    arm: Arm
    schedule: Schedule
    added: dict[Plane, int]
    rejected: dict[Plane, dict[FilterName, int]]
    repeated: dict[Plane, int] = Field(default_factory=dict)


def synthetic_share(schedule: Schedule, progress: float) -> float | None:
    """Return the share of added images in a batch at a progress from 0 to 1; None: their share of the set."""
    if schedule == "mixed":
        return None
    if schedule == "anneal":
        return 1.0 - progress
    return 1.0 if progress < 0.5 else 0.0


def schedule_of(folder: Path) -> Schedule:
    """Read the schedule of a hybrid set; `mixed` for any other image set."""
    path = folder / MIX_RECORD
    return read_json(path, MixRecord).schedule if path.is_file() else "mixed"


def added_counts(real: Iterable[Image], config: MixConfig, labels: LabelSet) -> dict[Plane, int]:
    """Return how many images of each class are added to the real training images; equal for all arms that add any.

    Without real images as many are added as there would be in all with them.

    Raises:
        LabelSetError: if a ratio names an unknown class.
    """
    if isinstance(config.ratio, dict):
        labels.require(config.ratio, where="mix.ratio")
    counts = Counter(row.plane for row in real if row.split == "train")
    return added_to({name: counts[name] for name in labels.names}, config)


def added_to(have: Mapping[Plane, int], config: MixConfig) -> dict[Plane, int]:
    """As `added_counts`, from the number of real training images of each class."""
    if config.arm == "none":
        return {}
    instead = int(config.real == "none")
    added = {plane: round((config.ratio_of(plane) + instead) * count) for plane, count in have.items()}
    if config.cap is not None:
        added = {plane: min(count, config.cap) for plane, count in added.items()}
    if config.prior == "uniform":
        left = {plane: 0 if instead else count for plane, count in have.items()}
        most = max((count + added[plane] for plane, count in left.items()), default=0)
        added = {plane: most - count for plane, count in left.items()}
    return added


PictureFilter = Callable[[Picture], bool]
"""Whether a synthetic picture may be added. Called in the order in which pictures are offered."""


def is_not_blank(picture: Picture) -> bool:
    """Whether a picture is not blank."""
    return not is_blank(picture.pixels)


def filter_by_assessment(screened: Mapping[str, Iterable[FilterName]], name: FilterName) -> PictureFilter:
    """Return a filter that rejects the images that failed it in the assessment.

    Args:
        screened: by image id, the filters that it fails.
    """

    def passes(picture: Picture) -> bool:
        return name not in screened[picture.row.image_id]

    return passes


def filter_repeats(digests: Iterable[str]) -> PictureFilter:
    """Return a filter that rejects pictures whose pixels are among `digests` or were offered before."""
    seen = set(digests)

    def passes(picture: Picture) -> bool:
        digest = pixel_digest(picture.pixels)
        new = digest not in seen
        seen.add(digest)
        return new

    return passes


@dataclass
class Selection:
    """Selects synthetic pictures plane by plane, in an order given by the seed, and counts rejected ones."""

    config: MixConfig
    filters: Mapping[FilterName, PictureFilter]
    rejected: dict[Plane, Counter[FilterName]] = field(default_factory=lambda: defaultdict(Counter))
    repeated: dict[Plane, int] = field(default_factory=dict)

    def choose(
        self, wanted: Mapping[Plane, int], offered: Sequence[Image], load: Callable[[Image], Picture]
    ) -> list[Image]:
        """Return the rows of the wanted number of pictures of each plane; pictures are loaded one at a time.

        Raises:
            ImageSetError: if too few pass, or none if they may be repeated.
        """
        chosen: list[Image] = []
        for plane, count in wanted.items():
            rows = [row for row in offered if row.plane == plane]
            ranked = sorted(rows, key=lambda row: derive_seed("mix", self.config.seed, row.image_id))
            passed = list(islice((row for row in ranked if self._passes(plane, load(row))), count))
            if len(passed) < count and (self.config.too_few == "fail" or not passed):
                raise ImageSetError(self._too_few(plane, count, len(rows), len(passed)))
            if len(passed) < count:
                self.repeated[plane] = count - len(passed)
            for number in range(count):
                time, place = divmod(number, len(passed))
                row = passed[place]
                chosen.append(row.changed(image_id=f"{row.image_id}_copy{time}") if time else row)
        return chosen

    def _passes(self, plane: Plane, picture: Picture) -> bool:
        cause = next((name for name, passes in self.filters.items() if not passes(picture)), None)
        if cause is not None:
            self.rejected[plane][cause] += 1
        return cause is None

    def _too_few(self, plane: Plane, wanted: int, offered: int, passed: int) -> str:
        lost = ", ".join(f"{cause} {n}" for cause, n in self.rejected[plane].items())
        return (
            f"{plane}: {wanted} synthetic images are wanted and there are {offered}, of which {passed} pass the "
            f"filters (rejected: {lost or 'none'}); lower the ratio, generate more images of a class, or set too_few "
            "to `repeat`"
        )


def select_real(real: Sequence[Image], config: MixConfig) -> list[Image]:
    """Return the real training rows that the config keeps."""
    if config.real == "balanced":
        return balance_classes(real, config.seed, config.real_per_plane)
    return [] if config.real == "none" else list(real)


def balance_classes(real: Sequence[Image], seed: int, per_plane: int | None = None) -> list[Image]:
    """Return as many rows of every plane as the rarest has, selected by seed, in their order.

    Args:
        per_plane: the number instead.

    Raises:
        ImageSetError: if a plane has fewer.
    """
    by: dict[str, list[Image]] = defaultdict(list)
    for row in real:
        by[row.plane].append(row)
    least = min((len(rows) for rows in by.values()), default=0) if per_plane is None else per_plane
    if few := ", ".join(f"{plane} {len(rows)}" for plane, rows in by.items() if len(rows) < least):
        raise ImageSetError(f"mix.real_per_plane={per_plane}: there are fewer real training images of {few}")
    chosen = {
        row.image_id
        for rows in by.values()
        for row in sorted(rows, key=lambda row: derive_seed("balanced", seed, row.image_id))[:least]
    }
    return [row for row in real if row.image_id in chosen]
