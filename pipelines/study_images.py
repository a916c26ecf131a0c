"""The real images of the FU-LoRA study by their use, and the two checks before any training."""

from collections.abc import Mapping
from dataclasses import dataclass

from fulora.data.image_set import ImageSet
from fulora.data.results import LeakTable
from fulora.data.weights import Backbone, ClipWeights
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbones import OnSiteBackbone, get_backbone, get_clip
from pipelines.fu_lora_config import LORA_AT, PLANES_AT, FuLoraConfig
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.count_classes import count_classes
from pipelines.study_inputs import curated


@dataclass(frozen=True)
class StudyImages:
    """The curated images of a study.

    Attributes:
        planes: images on which classifiers are trained, selected and tested.
        others: further images that arms may train on, by name.
        lora_images: training images of LoRAs; None if these are `planes`.
        few_shot: the few patients of a few-shot head, and those that it is tested on.
    """

    planes: ImageSet
    others: Mapping[str, ImageSet]
    lora_images: ImageSet | None
    few_shot: ImageSet | None

    @property
    def for_loras(self) -> ImageSet:
        """The training images of LoRAs."""
        return self.lora_images or self.planes

    @property
    def by_arm_name(self) -> dict[str, ImageSet]:
        """The image sets by `ArmConfig.images`."""
        return {"": self.planes, **self.others}

    @property
    def starts(self) -> dict[str, ImageSet]:
        """The image sets by `GeneratorConfig.start`."""
        lora_images = {} if self.lora_images is None else {LORA_AT: self.lora_images}
        return {PLANES_AT: self.planes, **lora_images, **self.others}

    def copy_sources(self, cfg: FuLoraConfig) -> dict[str, ImageSet]:
        """Return the images that each generator may copy: those it starts from, or else those of the LoRAs."""
        return {
            name: self.for_loras if one.start is None else self.starts[one.start] for name, one in cfg.synthetic.items()
        }


def curate_images(cfg: FuLoraConfig, work: Workspace) -> StudyImages:
    """Curate all real images of the study."""
    return StudyImages(
        planes=curated(cfg.planes, cfg.data_root, work),
        others={name: curated(images, cfg.data_root, work) for name, images in cfg.other_images.items()},
        lora_images=None if cfg.lora_images is None else curated(cfg.lora_images, cfg.data_root, work),
        few_shot=None if cfg.few_shot is None else curated(cfg.few_shot.images, cfg.data_root, work),
    )


def check_study_classes(cfg: FuLoraConfig, work: Workspace, images: StudyImages) -> dict[str, ImageSet]:
    """Return the training images of classifiers by their place in the config.

    The stage stops the study if only they, or only the test images, show a class.
    """
    sets = images.by_arm_name
    training = {f"other_images.{name}" if name else PLANES_AT: sets[name] for name in cfg.names_of_images()}
    work.run(count_classes, cfg.accept_missing_classes, training, tested_on=images.planes, few=images.few_shot)
    return training


def check_study_leaks(cfg: FuLoraConfig, work: Workspace, images: StudyImages) -> LeakTable:
    """Check all real training images for leaks into the test split.

    The few patients of a few-shot head are in that split: it is tested on others, which its stage checks.
    """
    trained_on = {"classifiers and tuned CLIPs": images.planes}
    trained_on |= {f"other_images.{name}": others for name, others in images.others.items()}
    trained_on["LoRA"] = images.for_loras
    pretrained_on: dict[str, ImageSet] = {}
    weights: dict[str, Backbone | ClipWeights | Source] = {}
    if isinstance(cfg.backbone, OnSiteBackbone):
        pretrained_on["backbone and CLIP, pre-trained on site"] = curated(cfg.backbone.images, cfg.data_root, work)
    else:
        weights["backbone"] = get_backbone(cfg.backbone, cfg.data_root, work)
        weights["CLIP"] = get_clip(cfg.backbone, cfg.data_root, work)
    return work.run(check_leaks, images.planes, trained_on=trained_on, pretrained_on=pretrained_on, weights=weights)
