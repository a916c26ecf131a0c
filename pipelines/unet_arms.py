"""Segmentation arms: what networks are trained on, and how; each with every seed, and with folds as an ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulora.data.manifest import ImageSet
from fulora.data.results import MaskSet, Measurements
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import FROM_A_FILE, SegmentConfig, UnetConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.stages.measure import MeasureConfig, measure
from pipelines.stages.segment import segment
from pipelines.stages.train_unet import train_unet


@dataclass(frozen=True)
class UnetArm:
    """A network and the images it is trained on."""

    unet: UnetConfig
    images: ImageSet


@dataclass(frozen=True)
class Compared:
    """What was made of arms: by arm, one a training seed.

    Attributes:
        unets: the networks of each seed, one a fold.
    """

    unets: dict[str, list[list[UnetWeights]]]
    masks: dict[str, list[MaskSet]]
    measurements: dict[str, list[Measurements]]


@dataclass(frozen=True)
class Tested:
    """On what, and how, all arms of a study are tested."""

    images: ImageSet
    start: Source | None
    segment: SegmentConfig
    measure: MeasureConfig


def compare_unets(
    arms: Mapping[str, UnetArm], seeds: Sequence[int], folds: int | None, tested: Tested, work: Workspace
) -> Compared:
    """Train every arm with every seed, segment the test split of `tested.images`, measure."""
    unets = train_all(arms, seeds, folds, tested.start, work)
    masks = work.each(
        {
            f"{name}, seed {seed}": segment.call(tested.segment, images=tested.images, unets=unets[name][place])
            for name in arms
            for place, seed in enumerate(seeds)
        }
    )
    found = work.each(
        {label: measure.call(tested.measure, images=tested.images, masks=mask) for label, mask in masks.items()}
    )
    return Compared(
        unets,
        {name: [masks[f"{name}, seed {seed}"] for seed in seeds] for name in arms},
        {name: [found[f"{name}, seed {seed}"] for seed in seeds] for name in arms},
    )


def train_all(
    arms: Mapping[str, UnetArm], seeds: Sequence[int], folds: int | None, start: Source | None, work: Workspace
) -> dict[str, list[list[UnetWeights]]]:
    """The networks of each arm, by seed and fold."""
    parts = [None] if folds is None else [(fold, folds) for fold in range(folds)]

    def label(name: str, seed: int, part: tuple[int, int] | None) -> str:
        return f"{name}, seed {seed}" + ("" if part is None else f", fold {part[0]}")

    calls = {}
    for name, arm in arms.items():
        for seed in seeds:
            for part in parts:
                own = arm.unet.model_copy(update={"seed": seed, "fold": part})
                given = start if own.encoder_weights in FROM_A_FILE else None
                calls[label(name, seed, part)] = train_unet.call(own, images=arm.images, start=given)
    trained = work.each(calls)
    return {name: [[trained[label(name, seed, part)] for part in parts] for seed in seeds] for name in arms}
