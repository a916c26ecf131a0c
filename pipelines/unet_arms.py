"""The arms of a segmentation study: networks trained with every seed, each an ensemble if there are folds."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from fulora.data.image_set import ImageSet
from fulora.data.results import MaskSet, Measurements
from fulora.data.weights import UnetWeights
from fulora.report.parts import ArmDesign
from fulora.segmentation.config import WEIGHTS_FROM_FILE, SegmentConfig, UnetConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.merged_settings import locate_errors
from pipelines.stages.measure import MeasureConfig, measure
from pipelines.stages.segment import segment
from pipelines.stages.train_unet import train_unet
from pipelines.training_key import Training


@dataclass(frozen=True)
class UnetArm:
    """A network and the images it is trained on."""

    unet: UnetConfig
    images: ImageSet

    def design(self, seeds: int) -> ArmDesign:
        """Return this as a report describes it."""
        unet = self.unet
        network = unet.architecture if unet.encoder == "none" else f"{unet.architecture}, {unet.encoder}"
        return ArmDesign(self.images, network, seeds, unet.steps if unet.epochs is None else None, unet.epochs)


@dataclass(frozen=True)
class UnetResults:
    """Results of arms: by arm, one for each training seed.

    Attributes:
        unets: the networks of each seed, one for each fold.
    """

    unets: dict[str, list[list[UnetWeights]]]
    masks: dict[str, list[MaskSet]]
    measurements: dict[str, list[Measurements]]


@dataclass(frozen=True)
class UnetTest:
    """The test images and settings that all arms of a study share."""

    images: ImageSet
    start: Source | None
    segment: SegmentConfig
    measure: MeasureConfig


def compare_unets(
    arms: Mapping[str, UnetArm], seeds: Sequence[int], folds: int | None, test: UnetTest, work: Workspace
) -> UnetResults:
    """Train every arm with every seed, segment the test split of `test.images`, measure."""
    unets = train_unets(arms, seeds, folds, test.start, work)
    segmenting = {
        Training(name, seed): segment.call(test.segment, images=test.images, unets=ensemble)
        for name in arms
        for seed, ensemble in zip(seeds, unets[name], strict=True)
    }
    masks = work.each(segmenting)
    measures = work.each(
        {key: measure.call(test.measure, images=test.images, masks=mask) for key, mask in masks.items()}
    )
    return UnetResults(
        unets,
        {name: [masks[Training(name, seed)] for seed in seeds] for name in arms},
        {name: [measures[Training(name, seed)] for seed in seeds] for name in arms},
    )


def training_configs(
    unet: UnetConfig, name: str, seeds: Sequence[int], folds: int | None
) -> dict[Training, UnetConfig]:
    """Return the config of each network of an arm, by seed and fold.

    Raises:
        ValueError: if one is not valid; it names the arm.
    """
    parts = [None] if folds is None else [(fold, folds) for fold in range(folds)]
    with locate_errors(name):
        return {Training(name, seed, part): unet.changed(seed=seed, fold=part) for seed in seeds for part in parts}


def train_unets(
    arms: Mapping[str, UnetArm], seeds: Sequence[int], folds: int | None, start: Source | None, work: Workspace
) -> dict[str, list[list[UnetWeights]]]:
    """Train the networks of each arm, by seed and fold."""
    configs = {name: training_configs(arm.unet, name, seeds, folds) for name, arm in arms.items()}
    calls = {
        key: train_unet.call(
            config, images=arms[key.arm].images, start=start if config.encoder_weights in WEIGHTS_FROM_FILE else None
        )
        for of_arm in configs.values()
        for key, config in of_arm.items()
    }
    unets = work.each(calls)
    return {
        name: [[unets[key] for key in keys if key.seed == seed] for seed in seeds] for name, keys in configs.items()
    }
