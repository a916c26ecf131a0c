"""Segmentation arms: what networks are trained on, and how; each with every seed, and with folds as an ensemble."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulora.data.image_set import ImageSet
from fulora.data.results import MaskSet, Measurements
from fulora.data.weights import UnetWeights
from fulora.segmentation.config import WEIGHTS_FROM_FILE, SegmentConfig, UnetConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.changes import about
from pipelines.stages.measure import MeasureConfig, measure
from pipelines.stages.segment import segment
from pipelines.stages.train_unet import train_unet
from pipelines.trainings import Training


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
    every = [Training(name, seed) for name in arms for seed in seeds]
    place = {seed: number for number, seed in enumerate(seeds)}
    masks = work.each(
        {
            one: segment.call(tested.segment, images=tested.images, unets=unets[one.arm][place[one.seed]])
            for one in every
        }
    )
    found = work.each(
        {one: measure.call(tested.measure, images=tested.images, masks=mask) for one, mask in masks.items()}
    )
    return Compared(
        unets,
        {name: [masks[Training(name, seed)] for seed in seeds] for name in arms},
        {name: [found[Training(name, seed)] for seed in seeds] for name in arms},
    )


def trainings(unet: UnetConfig, name: str, seeds: Sequence[int], folds: int | None) -> dict[Training, UnetConfig]:
    """The networks of one arm: a config for each seed and fold.

    Raises:
        ValueError: one cannot be; the arm is named.
    """
    parts = [None] if folds is None else [(fold, folds) for fold in range(folds)]
    with about(name):
        return {Training(name, seed, part): unet.changed(seed=seed, fold=part) for seed in seeds for part in parts}


def train_all(
    arms: Mapping[str, UnetArm], seeds: Sequence[int], folds: int | None, start: Source | None, work: Workspace
) -> dict[str, list[list[UnetWeights]]]:
    """The networks of each arm, by seed and fold."""
    configs = {name: trainings(arm.unet, name, seeds, folds) for name, arm in arms.items()}
    trained = work.each(
        {
            one: train_unet.call(
                config, images=arms[name].images, start=start if config.encoder_weights in WEIGHTS_FROM_FILE else None
            )
            for name, own in configs.items()
            for one, config in own.items()
        }
    )
    return {
        name: [[trained[one] for one in own if one.seed == seed] for seed in seeds] for name, own in configs.items()
    }
