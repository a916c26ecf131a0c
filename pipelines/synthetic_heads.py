"""Arms of a segmentation study that also train on generated images, or on real ones without their masks."""

from pathlib import Path
from typing import Literal

from pydantic import Field, PositiveInt, model_validator

from fulora.config import Config
from fulora.data.label_set import LabelSet
from fulora.data.manifest import ImageSet
from fulora.data.weights import Backbone, UnetWeights
from fulora.diffusion.config import ControlConfig, GenerateConfig, LoraConfig
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.gates import AdditionConfig
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.backbones import BackboneConfig, get_backbone
from pipelines.stages.add_drawn import add_drawn
from pipelines.stages.draw_on_masks import draw_on_masks
from pipelines.stages.generate import generate
from pipelines.stages.pseudo_label import pseudo_label
from pipelines.stages.split_pairs import split_pairs
from pipelines.stages.train_control import train_control
from pipelines.stages.train_lora import train_lora
from pipelines.unet_arms import UnetArm, train_all

PSEUDO, PSEUDO_ALL = "pseudo-labelled synthetic", "pseudo-labelled synthetic unfiltered"
UNLABELLED = "pseudo-labelled real"
PAIRS, PAIRS_ALL = "synthetic pairs", "synthetic pairs unfiltered"
DRAWN = "synthetic on masks"


class SyntheticHeadsConfig(Config):
    """What is generated, and how it is trained on. Generator, teachers and students see the same labelled images.

    Attributes:
        backbone: what both LoRAs are trained on; for pairs its autoencoder must carry colours (`mask_channel`).
        lora: of images alone; `pairs_lora` of pairs, in whose pictures the mask is the red channel.
        control: a ControlNet, for pictures drawn on masks near those that are known; None draws none.
        generate: of heads; pairs are drawn in colour.
        folds: the teachers are an ensemble of so many, trained as `unet` is.
        additions: how many images are added, and the gates they pass.
        synthetic_weight, real_last: of the arms' networks (`UnetConfig`).
    """

    backbone: BackboneConfig
    lora: LoraConfig = Field(default_factory=LoraConfig)
    pairs_lora: LoraConfig = Field(default_factory=lambda: LoraConfig(mask_channel=True))
    control: ControlConfig | None = None
    generate: GenerateConfig
    folds: PositiveInt = Field(default=3, ge=2)
    additions: AdditionConfig = Field(default_factory=AdditionConfig)
    synthetic_weight: float = Field(default=0.5, gt=0)
    real_last: float = Field(default=0.2, ge=0, lt=1)

    @model_validator(mode="after")
    def _pairs_are_pairs(self) -> "SyntheticHeadsConfig":
        if self.lora.mask_channel or not self.pairs_lora.mask_channel:
            raise ValueError(
                "lora is trained on images alone and pairs_lora on pairs: set pairs_lora.mask_channel=true"
            )
        if self.generate.planes != ("brain",):
            raise ValueError(f"generate.planes={list(self.generate.planes)}: heads are of planes: [brain]")
        return self

    def arm_names(self, size: int | Literal["all"]) -> list[str]:
        """The arms; with all images labelled there are no others to draw masks on."""
        unlabelled, drawn = [UNLABELLED] * (size != "all"), [DRAWN] * (self.control is not None)
        return [PSEUDO, PSEUDO_ALL, *unlabelled, PAIRS, PAIRS_ALL, *drawn]


def synthetic_arms(
    cfg: SyntheticHeadsConfig,
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
        heads: all images; those of its training split that `labelled` lacks are the unlabelled ones.
        labelled: the images whose masks the arms may know.
        labels: their classes.
    """
    backbone = get_backbone(cfg.backbone, data_root, work)
    images, pairs = _generated(cfg, heads, labelled, labels, backbone, work)
    teachers = train_all({"teachers": UnetArm(unet, labelled)}, (unet.seed,), cfg.folds, start, work)["teachers"][0]
    unfiltered = cfg.additions.model_copy(update={"filtered": False, "refine": False})
    sets = {
        PSEUDO: _pseudo(cfg.additions, labelled, images, teachers, work),
        PSEUDO_ALL: _pseudo(unfiltered, labelled, images, teachers, work),
        PAIRS: work.run(split_pairs, cfg.additions, labelled=labelled, pairs=pairs),
        PAIRS_ALL: work.run(split_pairs, unfiltered, labelled=labelled, pairs=pairs),
    }
    if heads != labelled:
        sets[UNLABELLED] = _pseudo(cfg.additions, labelled, heads, teachers, work)
    if cfg.control is not None:
        control = work.run(train_control, cfg.control, backbone=backbone, images=labelled)
        drawn = work.run(draw_on_masks, cfg.generate, backbone=backbone, control=control, labelled=labelled)
        sets[DRAWN] = work.run(add_drawn, cfg.additions, labelled=labelled, drawn=drawn, teachers=teachers)
    student = unet.model_copy(update={"synthetic_weight": cfg.synthetic_weight, "real_last": cfg.real_last})
    return {name: UnetArm(student, images) for name, images in sets.items()}


def _generated(
    cfg: SyntheticHeadsConfig,
    heads: ImageSet,
    labelled: ImageSet,
    labels: LabelSet,
    backbone: Backbone | Source,
    work: Workspace,
) -> tuple[ImageSet, ImageSet]:
    loras = work.each(
        {
            "LoRA of images": train_lora.call(cfg.lora, backbone=backbone, images=labelled, tested_on=heads),
            "LoRA of pairs": train_lora.call(cfg.pairs_lora, backbone=backbone, images=labelled, tested_on=heads),
        }
    )
    coloured = cfg.generate.model_copy(update={"colour": "rgb"})
    found = work.each(
        {
            "images": generate.call(cfg.generate, backbone=backbone, lora=loras["LoRA of images"], labels=labels),
            "pairs": generate.call(coloured, backbone=backbone, lora=loras["LoRA of pairs"], labels=labels),
        }
    )
    return found["images"], found["pairs"]


def _pseudo(
    config: AdditionConfig, labelled: ImageSet, candidates: ImageSet, teachers: list[UnetWeights], work: Workspace
) -> ImageSet:
    return work.run(pseudo_label, config, labelled=labelled, candidates=candidates, teachers=teachers)
