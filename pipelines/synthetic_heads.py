"""Arms of a segmentation study that are also trained on generated images, or on real ones with predicted masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, PositiveInt, model_validator

from fulora.config import Config, Json
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.weights import Backbone, UnetWeights
from fulora.diffusion.config import ControlConfig, LoraConfig
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.segmentation.addition_config import AdditionConfig
from fulora.segmentation.config import UnetConfig
from fulora.stage import Call, Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, get_backbone
from pipelines.merged_settings import merge_each_over, merge_over
from pipelines.stages.add_drawn import add_drawn
from pipelines.stages.draw_on_masks import draw_on_masks
from pipelines.stages.generate import generate
from pipelines.stages.pseudo_label import pseudo_label
from pipelines.stages.split_pairs import split_pairs
from pipelines.stages.train_control import train_control
from pipelines.stages.train_lora import train_lora
from pipelines.unet_arms import UnetArm, train_unets

Method = Literal["pseudo_labels", "pseudo_labels_of_real", "pairs", "on_masks"]
USED: Mapping[Method, tuple[str, ...]] = {
    "pseudo_labels": ("lora", "generate", "additions"),
    "pseudo_labels_of_real": ("additions",),
    "pairs": ("lora", "generate", "additions"),
    "on_masks": ("control", "generate", "additions"),
}
"""The settings that each method uses."""

OF_PAIRS: Mapping[str, dict[str, Json]] = {"lora": {"mask_channel": True}, "generate": {"colour": "rgb"}}
"""Settings of pairs, which replace the shared ones."""

KINDS: Mapping[str, type[Config]] = {
    "lora": LoraConfig,
    "generate": GenerateConfig,
    "control": ControlConfig,
    "additions": AdditionConfig,
}
UNFILTERED: Json = {"filtered": False, "refine": False}
DEFAULT: dict[str, Json] = {
    "pseudo-labelled synthetic": {"method": "pseudo_labels"},
    "pseudo-labelled synthetic unfiltered": {"method": "pseudo_labels", "additions": UNFILTERED},
    "pseudo-labelled real": {"method": "pseudo_labels_of_real"},
    "synthetic pairs": {"method": "pairs"},
    "synthetic pairs unfiltered": {"method": "pairs", "additions": UNFILTERED},
}
DRAWN: dict[str, Json] = {"synthetic on masks": {"method": "on_masks"}}
"""The arms of a study that names none; with a `control`, images are also generated on masks."""


class SyntheticArmConfig(Config):
    """One arm: labelled images and images added to them. In YAML it gives its differences from the shared settings.

    Attributes:
        method: `pseudo_labels` adds generated images with masks that the teachers predict; `pseudo_labels_of_real`
            adds real unlabelled images with such masks (none if all are labelled); `pairs` adds images that are
            generated together with their masks; `on_masks` adds images that a ControlNet generates on masks near
            the labelled ones.
        lora, generate, control, additions: those that the method uses; `lora: none` generates with the backbone alone.
    """

    method: Method
    lora: LoraConfig | None = None
    generate: GenerateConfig | None = None
    control: ControlConfig | None = None
    additions: AdditionConfig = Field(default_factory=AdditionConfig)

    @model_validator(mode="after")
    def _fits_its_method(self) -> "SyntheticArmConfig":
        unused = [name for name in KINDS if getattr(self, name) is not None and name not in USED[self.method]]
        if unused:
            raise ValueError(f"method={self.method} uses no {unused[0]}; it uses {', '.join(USED[self.method])}")
        missing = [name for name in USED[self.method] if name != "lora" and getattr(self, name) is None]
        if missing:
            raise ValueError(f"method={self.method} needs {missing[0]}; set it here, or for all arms")
        pairs = self.method == "pairs"
        if pairs != bool(self.lora and self.lora.mask_channel) and (pairs or self.lora):
            raise ValueError(
                f"method={self.method}: pairs need a lora with mask_channel=true, and all other methods one without"
            )
        if pairs and self.generate and self.generate.colour != "rgb":
            raise ValueError(f"method=pairs: generate.colour={self.generate.colour}: the mask is a colour; set rgb")
        return self


class SyntheticHeadsConfig(Config):
    """Generation of images, and arms that are trained on them. Generator, teachers and students share labelled images.

    Attributes:
        backbone: the base of the LoRAs; for pairs its autoencoder must preserve colours (`mask_channel`).
        lora, generate, control, additions: shared by all arms: training of LoRAs, generation, training of a ControlNet
            (None: no images on masks), number of added images and their quality rules.
        arms: by name, each with a method and its differences.
        folds: number of teachers in the ensemble, trained as `unet` is.
        synthetic_weight, real_last: of the arms' networks (`UnetConfig`).
    """

    backbone: BackboneConfig
    lora: LoraConfig = Field(default_factory=LoraConfig)
    control: ControlConfig | None = None
    generate: GenerateConfig
    additions: AdditionConfig = Field(default_factory=AdditionConfig)
    arms: dict[str, SyntheticArmConfig]
    folds: PositiveInt = Field(default=3, ge=2)
    synthetic_weight: float = Field(default=0.5, gt=0)
    real_last: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="before")
    @classmethod
    def _arms_are_changes(cls, values: Json) -> Json | dict[str, object]:
        if not isinstance(values, dict):
            return values

        def merge(one: object) -> object:
            return _merge_arm(values, one) if isinstance(one, dict) and one.get("method") in get_args(Method) else one

        return merge_each_over(values, "arms", merge, DEFAULT | (DRAWN if values.get("control") else {}))

    @model_validator(mode="after")
    def _has_arms(self) -> "SyntheticHeadsConfig":
        if not self.arms:
            raise ValueError("arms: empty; name one, or leave arms out")
        return self

    def arms_at(self, size: int | Literal["all"]) -> dict[str, SyntheticArmConfig]:
        """Return the arms of one size; if all images are labelled, none adds real unlabelled images."""
        return {name: arm for name, arm in self.arms.items() if size != "all" or arm.method != "pseudo_labels_of_real"}

    def student(self, unet: UnetConfig) -> UnetConfig:
        """Return the network of every arm.

        Raises:
            ValidationError: if it is not valid.
        """
        return unet.changed(synthetic_weight=self.synthetic_weight, real_last=self.real_last)


def _merge_arm(values: dict[str, Json], one: dict[str, Json]) -> dict[str, object]:
    """An arm with the settings that its method uses, and unused ones that it gives, which are refused later."""
    arm: dict[str, object] = dict(one)
    for name in [name for name in KINDS if name in one or name in USED[one["method"]]]:  # type: ignore[index]
        common: object = values.get(name, None if name in ("generate", "control") else {})
        if common is None and name == "control" and name not in one:
            continue
        if one["method"] == "pairs" and name in OF_PAIRS:
            common = merge_over(KINDS[name], common, OF_PAIRS[name])
        changes = one.get(name, {})
        arm[name] = None if name == "lora" and changes == "none" else merge_over(KINDS[name], common or {}, changes)
    return arm


@dataclass(frozen=True)
class LabelledSet:
    """The labelled images that the arms of one size share.

    Attributes:
        heads: all images; those of its training split that `images` lacks are unlabelled.
        images: images whose masks the arms may use.
        labels: their classes.
        teachers: networks trained on these images alone.
    """

    heads: ImageSet
    images: ImageSet
    labels: LabelSet
    teachers: list[UnetWeights]


def synthetic_arms(
    cfg: SyntheticHeadsConfig,
    size: int | Literal["all"],
    unet: UnetConfig,
    heads: ImageSet,
    labelled: ImageSet,
    labels: LabelSet,
    start: Source | None,
    data_root: Path,
    work: Workspace,
) -> dict[str, UnetArm]:
    """Return the arms by name, with `size` labelled images; for other arguments see `LabelledSet`."""
    backbone = get_backbone(cfg.backbone, data_root, work)
    teachers = train_unets({"teachers": UnetArm(unet, labelled)}, (unet.seed,), cfg.folds, start, work)["teachers"][0]
    labelled_set = LabelledSet(heads, labelled, labels, teachers)
    arms = cfg.arms_at(size)
    generated = _generate(arms, labelled_set, backbone, work)
    sets = work.each({name: _add(arm, labelled_set, generated.get(name)) for name, arm in arms.items()})
    return {name: UnetArm(cfg.student(unet), images) for name, images in sets.items()}


def _generate(
    arms: Mapping[str, SyntheticArmConfig], labelled_set: LabelledSet, backbone: Backbone | Source, work: Workspace
) -> dict[str, ImageSet]:
    """Generate the images of each arm; arms with equal settings share them."""
    loras = work.each(
        {
            name: train_lora.call(arm.lora, backbone=backbone, images=labelled_set.images, tested_on=labelled_set.heads)
            for name, arm in arms.items()
            if arm.lora is not None
        }
    )
    controls = work.each(
        {
            name: train_control.call(arm.control, backbone=backbone, images=labelled_set.images)
            for name, arm in arms.items()
            if arm.control is not None
        }
    )
    calls = {}
    for name, arm in arms.items():
        if arm.generate is None:
            continue
        config = arm.generate.changed(planes=arm.generate.planes or classes_with_masks(labelled_set.labels))
        calls[name] = (
            draw_on_masks.call(config, backbone=backbone, control=controls[name], labelled=labelled_set.images)
            if name in controls
            else generate.call(config, backbone=backbone, lora=loras.get(name), labels=labelled_set.labels)
        )
    return work.each(calls)


def classes_with_masks(labels: LabelSet) -> tuple[str, ...]:
    """Return the classes whose images have masks."""
    return tuple(one.name for one in labels.classes if one.structures)


def _add(arm: SyntheticArmConfig, labelled_set: LabelledSet, generated: ImageSet | None) -> Call[ImageSet]:
    config, labelled, teachers = arm.additions, labelled_set.images, labelled_set.teachers
    match arm.method, generated:
        case "pairs", ImageSet():
            return split_pairs.call(config, labelled=labelled, pairs=generated)
        case "on_masks", ImageSet():
            return add_drawn.call(config, labelled=labelled, drawn=generated, teachers=teachers)
        case _:
            candidates = generated or labelled_set.heads
            return pseudo_label.call(config, labelled=labelled, candidates=candidates, teachers=teachers)
