"""`mix`: real images and added ones as one image set for training, checked for leaks."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from fulora.config import part, validated
from fulora.data.hybrid import ASSESSED, Arm, FilterName, MixConfig
from fulora.data.image_set import ImageSet
from fulora.job_folder import make_in
from fulora.progress import note
from pipelines.jobs.assessments import assess_command, open_assessment
from pipelines.jobs.images import Images
from pipelines.jobs.inputs import WORK, Place, is_image_set, open_images, path_of
from pipelines.jobs.synthetic_sets import SyntheticImages, open_synthetic
from pipelines.stages.mix import mix as mix_stage
from pipelines.stages.mix import mix_with_test

TestSplit = Literal["keep", "drop"]
OF_PIXELS: tuple[FilterName, ...] = ("blank", "duplicate")
"""The filters that need no assessment: the default without one."""


CURATED = Path("CURATED")
"""Stands in a command for a folder that is not made yet."""


class MixError(ValueError):
    """Images that cannot be mixed as asked. The message says what to give instead."""


@dataclass(frozen=True)
class MixRequest:
    """What is mixed: everything that a user says, before any image is read.

    Attributes:
        config: of the stage `mix`.
        curation: settings of the curation of `real`, if it is no image set.
        generator: name of the generator of folders that are imported.
    """

    real: Path
    synthetic: tuple[Path, ...]
    config: MixConfig
    assessment: Path | None = None
    curation: Mapping[str, object] | None = None
    generator: str = ""
    work: Path = WORK


def mix(
    real: Place,
    synthetic: Place | Sequence[Place] = (),
    *,
    out: str | Path,
    ratio: float = 1.0,
    per_plane: int | None = None,
    filters: Sequence[str] | None = None,
    assessment: Place | None = None,
    arm: Arm = "hybrid",
    test_split: TestSplit = "keep",
    settings: Mapping[str, object] | None = None,
    generator: str = "",
    work: str | Path = WORK,
    command: str = "",
) -> Images:
    """Return a set of real images and `ratio` added ones for each of them, made in the folder `out`.

        hybrid = fu.mix("planes", "synthetic", out="hybrid", ratio=2)
        hybrid.to_datasets()["train"]

    Args:
        real: an image set, or any folder that `fulora data check` reads, which is curated into `work`.
        synthetic: one or more sets of generated images; of other tools, folders with pictures in class folders. The
            ids of several begin with the names of their folders.
        per_plane: keep so many real training images of each class; the ratio counts from these.
        filters: that reject synthetic images (`MixConfig`); by default `blank` and `duplicate`, and with an assessment
            `memorised` as well.
        assessment: of the synthetic images, by `fulora assess --out` or a study.
        arm: what is added: `hybrid` synthetic images, `duplicated` or `augmented` copies of the real ones, or `none`.
        test_split: `keep` copies the real test split, so that the set trains and tests; `drop` leaves it out, as
            studies do. Either way no added image, generator or filter may know a patient of it.
        settings: further fields of `MixConfig`, and of the curation below `images`.
        generator: name of the generator of folders of other tools; by default the folder's.
        command: makes the set again; messages about damage contain it.

    Raises:
        MixError, ImageSetError: if there is nothing to mix, too few images pass the filters, or patients leak.
        AssessmentError, SyntheticSetError, OutputFolderError, ConfigError: if one of those cannot be used.
        LabelSetError: if real and synthetic images have different classes.
    """
    request = build_request(
        real,
        synthetic,
        ratio=ratio,
        per_plane=per_plane,
        filters=filters,
        assessment=assessment,
        arm=arm,
        settings=settings,
        generator=generator,
        work=work,
    )
    return make_mix(request, Path(out), test_split, command)


def make_mix(request: MixRequest, out: Path, test_split: TestSplit, command: str = "") -> Images:
    """Return the set that is asked for, made in the folder `out`; raises as `mix`."""
    config, images = request.config, _open_real(request, command)
    added = _open_added(request, images, command)
    opinions = None
    if added is not None and config.assessed:
        opinions = open_assessment(_assessment_of(request, added.images.path), added, images.path, request.work)
    make = mix_with_test if test_split == "keep" else mix_stage
    return Images(make_in(out, make, command, config, images, None if added is None else added.images, opinions))


def build_request(
    real: Place,
    synthetic: Place | Sequence[Place] = (),
    *,
    ratio: float = 1.0,
    per_plane: int | None = None,
    filters: Sequence[str] | None = None,
    assessment: Place | None = None,
    arm: str = "hybrid",
    settings: Mapping[str, object] | None = None,
    generator: str = "",
    work: str | Path = WORK,
) -> MixRequest:
    """Return the request of a mix; arguments as for `mix`.

    Raises:
        ConfigError: if a setting is invalid.
        MixError: if what is given does not fit together.
    """
    places = synthetic if isinstance(synthetic, list | tuple) else [synthetic]
    values: dict[str, object] = {"arm": arm, "ratio": ratio, **(settings or {})}
    curation = part(values, "images", where="settings")
    values.pop("images", None)
    if per_plane is not None:
        values |= {"real": "balanced", "real_per_plane": per_plane}
    if filters is not None:
        values["filters"] = list(filters)
    elif "filters" not in values and assessment is None:
        values["filters"] = list(OF_PIXELS)
    request = MixRequest(
        real=path_of(real),
        synthetic=tuple(map(path_of, places)),
        config=validated(MixConfig, values, where="mix"),
        assessment=None if assessment is None else path_of(assessment),
        curation=curation or None,
        generator=generator,
        work=Path(work),
    )
    _check(request)
    return request


def _check(request: MixRequest) -> None:
    config = request.config
    if config.arm == "hybrid" and not request.synthetic:
        raise MixError("arm=hybrid adds synthetic images, and none are given; give sets of them, or arm=duplicated")
    if config.arm != "hybrid" and request.synthetic:
        names = ", ".join(map(str, request.synthetic))
        raise MixError(f"arm={config.arm} adds no synthetic images, and {names} is given; leave it out, or arm=hybrid")
    if config.assessed:
        if len(request.synthetic) == 1:  # that of several is of the joined set, which is not made yet
            _assessment_of(request, request.synthetic[0])
    elif request.assessment is not None:
        raise MixError(
            f"{request.assessment}: no filter reads the assessment; name some of {', '.join(ASSESSED)} in filters, or "
            "leave it out"
        )


def _assessment_of(request: MixRequest, synthetic: Path) -> Path:
    if request.assessment is None:
        names = ", ".join(name for name in request.config.filters if name in ASSESSED)
        is_curated = request.curation is None and is_image_set(request.real)
        command = assess_command(synthetic, request.real if is_curated else CURATED)
        after = "" if is_curated else f"\nwhere CURATED is the folder that `fulora data curate {request.real}` prints"
        raise MixError(
            f"filters: {names} need an assessment; make it by\n  {command}\nand name its folder, assessment{after}"
        )
    return request.assessment


def _open_real(request: MixRequest, command: str) -> ImageSet:
    images = open_images(request.real, request.curation, request.work, command=command)
    check_real(request.real, (row.origin for row in images.iter_rows("train")))
    return images


def check_real(folder: Path, origins: Iterable[str]) -> None:
    """Refuse a set without training images, or with synthetic ones among them.

    Args:
        origins: of its training images.

    Raises:
        MixError: if it is one of these.
    """
    every = list(origins)
    if not every:
        raise MixError(f"{folder}: has no training images; curate it with role=train, or train+validation+test")
    if synthetic := every.count("synthetic"):
        raise MixError(
            f"{folder}: {synthetic} of its {len(every)} training images are synthetic; give the set of real images "
            "first, and this one after it: its synthetic images are taken"
        )


def _open_added(request: MixRequest, real: ImageSet, command: str) -> SyntheticImages | None:
    if request.config.arm != "hybrid":
        return None
    if request.assessment is None and "memorised" not in request.config.filters:
        note("copies of training images are not looked for: that needs an assessment (`fulora assess --train`)")
    return open_synthetic(
        request.synthetic, real.label_set(), request.work, generator=request.generator, command=command
    )
