"""Arms of a segmentation study that also train on generated images, or on real ones without their masks."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from pydantic import Field, PositiveInt, model_validator

from fulora.config import Config, Json
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.weights import Backbone, UnetWeights
from fulora.diffusion.config import ControlConfig, GenerateConfig, LoraConfig
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.gates import AdditionConfig
from fulora.stage import Call, Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, get_backbone
from pipelines.changes import merge_each_over, merge_over
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
"""By method, the settings that it uses."""

OF_PAIRS: Mapping[str, dict[str, Json]] = {"lora": {"mask_channel": True}, "generate": {"colour": "rgb"}}
"""What the settings of pairs are, whatever is said for all."""

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
"""The arms of a study that names none; pictures are drawn on masks where there is a `control`."""


class SyntheticArmConfig(Config):
    """One arm: labelled images, and what is added to them. In YAML it says only what differs from what all share.

    Attributes:
        method: `pseudo_labels` adds generated images, with the masks that the teachers draw on them;
            `pseudo_labels_of_real` adds real images that are not among the labelled ones, with such masks (there are
            none where all are labelled); `pairs` adds images that are generated together with their masks; `on_masks`
            adds pictures drawn by a ControlNet on masks near those that are known.
        lora, generate, control, additions: as far as the method uses them; `lora: none` draws with the backbone alone.
    """

    method: Method
    lora: LoraConfig | None = None
    generate: GenerateConfig | None = None
    control: ControlConfig | None = None
    additions: AdditionConfig = Field(default_factory=AdditionConfig)

    @model_validator(mode="after")
    def _fits_its_method(self) -> "SyntheticArmConfig":
        vain = [name for name in KINDS if getattr(self, name) is not None and name not in USED[self.method]]
        if vain:
            raise ValueError(f"method={self.method} uses no {vain[0]}; it uses {', '.join(USED[self.method])}")
        lacking = [name for name in USED[self.method] if name != "lora" and getattr(self, name) is None]
        if lacking:
            raise ValueError(f"method={self.method} needs {lacking[0]}; say it here, or for all arms")
        pairs = self.method == "pairs"
        if pairs != bool(self.lora and self.lora.mask_channel) and (pairs or self.lora):
            raise ValueError(
                f"method={self.method}: pairs need a lora with mask_channel=true, and all other methods one without"
            )
        if pairs and self.generate and self.generate.colour != "rgb":
            raise ValueError(f"method=pairs: generate.colour={self.generate.colour}: the mask is a colour; set rgb")
        return self


class SyntheticHeadsConfig(Config):
    """What is generated, and how it is trained on. Generator, teachers and students see the same labelled images.

    Attributes:
        backbone: what LoRAs are trained on; for pairs its autoencoder must carry colours (`mask_channel`).
        lora, generate, control, additions: what all arms share: how LoRAs are trained, how pictures are drawn, how a
            ControlNet is trained (None draws nothing on masks), how many images are added and what they must pass.
        arms: by name, each with a method, and with what it says otherwise.
        folds: the teachers are an ensemble of so many, trained as `unet` is.
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

        def lay(one: object) -> object:
            return _laid_over(values, one) if isinstance(one, dict) and one.get("method") in get_args(Method) else one

        return merge_each_over(values, "arms", lay, DEFAULT | (DRAWN if values.get("control") else {}))

    @model_validator(mode="after")
    def _adds_something(self) -> "SyntheticHeadsConfig":
        if not self.arms:
            raise ValueError("arms: there is none; name one, or leave arms out")
        return self

    def arms_at(self, size: int | Literal["all"]) -> dict[str, SyntheticArmConfig]:
        """The arms; with all images labelled there are no real ones without a mask."""
        return {name: arm for name, arm in self.arms.items() if size != "all" or arm.method != "pseudo_labels_of_real"}

    def student(self, unet: UnetConfig) -> UnetConfig:
        """The network of every arm.

        Raises:
            ValidationError: it cannot be.
        """
        return unet.changed(synthetic_weight=self.synthetic_weight, real_last=self.real_last)


def _laid_over(values: dict[str, Json], one: dict[str, Json]) -> dict[str, object]:
    """An arm with the settings that its method uses, and those that it does not use but says, to be refused."""
    made: dict[str, object] = dict(one)
    for name in [name for name in KINDS if name in one or name in USED[one["method"]]]:  # type: ignore[index]
        common: object = values.get(name, None if name in ("generate", "control") else {})
        if common is None and name == "control" and name not in one:
            continue
        if one["method"] == "pairs" and name in OF_PAIRS:
            common = merge_over(KINDS[name], common, OF_PAIRS[name])
        said = one.get(name, {})
        made[name] = None if name == "lora" and said == "none" else merge_over(KINDS[name], common or {}, said)
    return made


@dataclass(frozen=True)
class LabelledSet:
    """What the arms of one size may know.

    Attributes:
        heads: all images; those of its training split that `images` lacks are the unlabelled ones.
        images: the images whose masks the arms may know.
        labels: their classes.
        teachers: networks of these images alone.
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
    """The arms by name.

    Args:
        size: how many images are labelled.
        heads, labelled, labels: see `LabelledSet`.
    """
    backbone = get_backbone(cfg.backbone, data_root, work)
    teachers = train_unets({"teachers": UnetArm(unet, labelled)}, (unet.seed,), cfg.folds, start, work)["teachers"][0]
    known = LabelledSet(heads, labelled, labels, teachers)
    arms = cfg.arms_at(size)
    pictures = _drawn(arms, known, backbone, work)
    sets = work.each({name: _added(arm, known, pictures.get(name)) for name, arm in arms.items()})
    return {name: UnetArm(cfg.student(unet), images) for name, images in sets.items()}


def _drawn(
    arms: Mapping[str, SyntheticArmConfig], known: LabelledSet, backbone: Backbone | Source, work: Workspace
) -> dict[str, ImageSet]:
    """What is generated for each arm; arms that are drawn for alike share it."""
    loras = work.each(
        {
            name: train_lora.call(arm.lora, backbone=backbone, images=known.images, tested_on=known.heads)
            for name, arm in arms.items()
            if arm.lora is not None
        }
    )
    controls = work.each(
        {
            name: train_control.call(arm.control, backbone=backbone, images=known.images)
            for name, arm in arms.items()
            if arm.control is not None
        }
    )
    calls = {}
    for name, arm in arms.items():
        if arm.generate is None:
            continue
        config = arm.generate.changed(planes=arm.generate.planes or classes_with_masks(known.labels))
        calls[name] = (
            draw_on_masks.call(config, backbone=backbone, control=controls[name], labelled=known.images)
            if name in controls
            else generate.call(config, backbone=backbone, lora=loras.get(name), labels=known.labels)
        )
    return work.each(calls)


def classes_with_masks(labels: LabelSet) -> tuple[str, ...]:
    """The classes whose images have masks."""
    return tuple(one.name for one in labels.classes if one.structures)


def _added(arm: SyntheticArmConfig, known: LabelledSet, pictures: ImageSet | None) -> Call[ImageSet]:
    """How the labelled images get what an arm adds."""
    config, labelled, teachers = arm.additions, known.images, known.teachers
    match arm.method, pictures:
        case "pairs", ImageSet():
            return split_pairs.call(config, labelled=labelled, pairs=pictures)
        case "on_masks", ImageSet():
            return add_drawn.call(config, labelled=labelled, drawn=pictures, teachers=teachers)
        case _:
            return pseudo_label.call(config, labelled=labelled, candidates=pictures or known.heads, teachers=teachers)
