"""The real images of the FU-LoRA study: by what they are for, with the two checks that come before any training."""

from collections.abc import Mapping
from dataclasses import dataclass

from fulora.data.image_set import ImageSet
from fulora.data.results import LeakTable
from fulora.workspace import Workspace
from pipelines.backbones import OnSiteBackbone, external_weights
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.sources import curated
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.count_classes import count_classes


@dataclass(frozen=True)
class StudyImages:
    """The curated images of a study.

    Attributes:
        planes: what classifiers are trained, chosen and tested on.
        others: further ones that arms may train on, by name.
        lora_images: what LoRAs are trained on; None where that is `planes`.
        few_shot: the few patients of a few-shot head, and those that it is tested on.
    """

    planes: ImageSet
    others: Mapping[str, ImageSet]
    lora_images: ImageSet | None
    few_shot: ImageSet | None

    @property
    def for_loras(self) -> ImageSet:
        """What LoRAs are trained on."""
        return self.lora_images or self.planes

    @property
    def by_arm_name(self) -> dict[str, ImageSet]:
        """By the name that arms give."""
        return {"": self.planes, **self.others}

    @property
    def starts(self) -> dict[str, ImageSet]:
        """By the name that a generator's `start` gives."""
        own = {} if self.lora_images is None else {LORA_AT: self.lora_images}
        return {PLANES_AT: self.planes, **own, **self.others}

    def copy_sources(self, cfg: FuLoraConfig) -> dict[str, ImageSet]:
        """By generator, the images that its pictures may be copies of: those drawn over, or else the LoRAs'."""
        return {
            name: self.for_loras if one.start is None else self.starts[one.start] for name, one in cfg.synthetic.items()
        }


def curate_images(cfg: FuLoraConfig, work: Workspace) -> StudyImages:
    """Curate all of them."""
    return StudyImages(
        planes=curated(cfg.planes, cfg.data_root, work),
        others={name: curated(images, cfg.data_root, work) for name, images in cfg.other_images.items()},
        lora_images=None if cfg.lora_images is None else curated(cfg.lora_images, cfg.data_root, work),
        few_shot=None if cfg.few_shot is None else curated(cfg.few_shot.images, cfg.data_root, work),
    )


def check_study_classes(cfg: FuLoraConfig, work: Workspace, images: StudyImages) -> dict[str, ImageSet]:
    """The real images that classifiers are trained on, by their place in the config.

    The stage stops the study where a class is shown only by them, or only by the test images.
    """
    of_arms = images.by_arm_name
    training = {f"other_images.{name}" if name else PLANES_AT: of_arms[name] for name in cfg.names_of_images()}
    work.run(count_classes, cfg.accept_missing_classes, training, tested_on=images.planes, few=images.few_shot)
    return training


def check_study_leaks(cfg: FuLoraConfig, work: Workspace, images: StudyImages) -> LeakTable:
    """The leak gate: every set of real images that something is fitted to, against the study's test split.

    The few patients of a few-shot head are of that split: it is tested on others, which its stage checks.
    """
    trained_on = {"classifiers and tuned CLIPs": images.planes}
    trained_on |= {f"other_images.{name}": found for name, found in images.others.items()}
    trained_on["LoRA"] = images.for_loras
    pretrained_on = {}
    if isinstance(cfg.backbone, OnSiteBackbone):
        pretrained_on["backbone and CLIP"] = curated(cfg.backbone.images, cfg.data_root, work)
    weights = external_weights(cfg.backbone, cfg.data_root, work)
    return work.run(check_leaks, images.planes, trained_on=trained_on, pretrained_on=pretrained_on, weights=weights)
