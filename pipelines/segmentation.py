"""The segmentation study: train networks by arm, size and seed, segment held-out patients, measure the masks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config, Json, Runtime
from fulora.data.comparisons import check_arm_names
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.results import LeakTable, Report, Scores
from fulora.data.structures import describe_structures, outputs_of
from fulora.data.weights import UnetWeights
from fulora.intake.config import CurateConfig
from fulora.intake.image_set_labels import named_label_set
from fulora.intake.source_config import SourceInputs
from fulora.report.parts import ArmDesign, SegmentationPart, TrainingPart
from fulora.segmentation.config import WEIGHTS_FROM_FILE, SegmentConfig, UnetConfig
from fulora.segmentation.scores import MaskScoreConfig
from fulora.workspace import Workspace
from pipelines.backbones import OnSiteBackbone, get_backbone
from pipelines.merged_settings import locate_errors, merge_each_over, merge_over
from pipelines.stages.check_leaks import check_leaks
from pipelines.stages.measure import MeasureConfig
from pipelines.stages.report import ReportConfig, report
from pipelines.stages.score_masks import score_masks
from pipelines.stages.take_few import FewConfig, take_few
from pipelines.study_inputs import curated, labels_of
from pipelines.synthetic_heads import SyntheticHeadsConfig, synthetic_arms
from pipelines.unet_arms import UnetArm, UnetResults, UnetTest, compare_unets, training_configs

Size = PositiveInt | Literal["all"]
ALONE = "U-Net"
"""The name of the only arm of a study that names none."""


class SegmentationConfig(Config):
    """Images with masks, and the networks that are trained on them. The label set defines the values of the masks.

    Attributes:
        heads: the images; each source brings masks.
        unet: shared by all arms. Its `seed` is that of the teachers of `synthetic`; arms are trained with `seeds`.
        arms: networks by name, each with its differences from `unet`; without any, `unet` alone.
        sizes: numbers of training images, one set of arms each; all take the same number of steps.
        seeds: each arm is trained with each.
        folds: size of the ensemble that replaces each network, each member without one fold of the training patients.
        encoder_file: a file under `data_root` that arms start from if their `encoder_weights` read one.
        synthetic: the generated images, and the arms that are trained on them.
        score: `comparisons.baseline` is the name, without size, of the arm that all others are compared with, at the
            same number of training images; by default the baseline of the declared comparison.
    """

    heads: CurateConfig
    unet: UnetConfig = Field(default_factory=UnetConfig)
    arms: dict[str, UnetConfig] = Field(default_factory=dict)
    sizes: tuple[Size, ...] = Field(default=("all",), min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    folds: Annotated[int, Field(ge=2)] | None = None
    encoder_file: Annotated[Path | None, Runtime] = None
    synthetic: SyntheticHeadsConfig | None = None
    segment: SegmentConfig = Field(default_factory=SegmentConfig)
    measure: MeasureConfig = Field(default_factory=MeasureConfig)
    score: MaskScoreConfig = Field(default_factory=MaskScoreConfig)

    @model_validator(mode="before")
    @classmethod
    def _arms_are_changes(cls, values: Json) -> Json | dict[str, object]:
        if not isinstance(values, dict):
            return values
        return merge_each_over(values, "arms", lambda one: merge_over(UnetConfig, values.get("unet", {}), one), {})

    @field_validator("heads")
    @classmethod
    def _masks_in_three_splits(cls, value: CurateConfig) -> CurateConfig:
        for number, source in enumerate(value.sources):
            if source.has_masks() is False:
                raise ValueError(
                    f"source {number} ({source.kind}) has no masks; use a source that brings them, such as "
                    "parallel_folders, class_folders with a mask_suffix, or phantoms of a plane with masks"
                )
        value.check_splits()
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "SegmentationConfig":
        arms = self.networks()
        for name, values in (("seeds", self.seeds), ("sizes", self.sizes)):
            if len(set(values)) < len(values):
                raise ValueError(f"{name}: {list(values)}: duplicate value")
        check_arm_names(arms)
        names = self.arm_names()
        duplicate = next((name for name in names if names.count(name) > 1), None)
        if duplicate:
            raise ValueError(f"arms: {duplicate} is taken; give another name")
        labels = named_label_set(self.heads, [SourceInputs()] * len(self.heads.sources))
        if labels is not None:
            self.check_outputs(labels)
        for name, arm in arms.items():
            if arm.encoder_weights in WEIGHTS_FROM_FILE and self.encoder_file is None:
                raise ValueError(f"{name}: encoder_weights={arm.encoder_weights} reads a file: set encoder_file")
        self.score.comparisons.check(self.arm_names(), baselines=list(arms))
        return self

    @model_validator(mode="after")
    def _every_network_is_valid(self) -> "SegmentationConfig":
        if self.unet.fold is not None:
            raise ValueError("unet.fold would not be used: folds gives their number, and each is trained")
        for name, unet in self.arms.items():
            if (unet.seed, unet.fold) != (self.unet.seed, None):
                raise ValueError(f"arms.{name}: its seed and fold would not be used: the study's seeds and folds are")
        for name, unet in self.networks().items():
            training_configs(unet, f"arms.{name}", self.seeds, self.folds)
        if self.synthetic is not None:
            training_configs(self.unet, "synthetic: teachers", (self.unet.seed,), self.synthetic.folds)
            with locate_errors("synthetic: student"):
                student = self.synthetic.student(self.unet)
            training_configs(student, "synthetic: student", self.seeds, self.folds)
        return self

    def check_outputs(self, labels: LabelSet) -> None:
        """Refuse networks whose outputs do not match the masks of a label set.

        Raises:
            ValueError: if `classes` of an arm differ, if heads are generated and masks have several structures, or if
                one network cannot learn the masks of the label set.
        """
        outputs = outputs_of(labels)
        for number, source in enumerate(self.heads.sources):
            for plane in source.class_names() or ():
                if plane in labels.names and not labels.of(plane).structures:
                    raise ValueError(
                        f"heads: source {number} ({source.kind}) shows {plane}, and the label set {labels.name} says "
                        f"nothing of what masks of {plane} hold; leave it out, or add structures to it"
                    )
        for name, arm in self.networks().items():
            if arm.classes not in (None, outputs):
                raise ValueError(f"{name}: classes={arm.classes}, and these masks have {outputs}; leave classes out")
        if self.synthetic is not None and outputs != 1:
            structures = describe_structures(labels)
            raise ValueError(f"synthetic: draws masks of one structure, 1, and these hold {structures}")

    def networks(self) -> dict[str, UnetConfig]:
        """Return the networks of the arms by name."""
        return self.arms or {ALONE: self.unet}

    def named(self, arm: str, size: Size) -> str:
        """Return the name of an arm with a number of training images."""
        return arm if len(self.sizes) == 1 else f"{arm}, {size} images"

    def scoring(self) -> MaskScoreConfig:
        """Return `score` with the full names of all compared arms."""
        comparisons, sizes = self.score.comparisons, self.sizes
        unsized = {self.named(name, size): name for size in sizes for name in self.arms_at(size)}
        baseline = comparisons.baseline
        if baseline is None:
            baseline = unsized.get(comparisons.common(), "")
        pairs = [
            (self.named(name, size), self.named(baseline, size))
            for size in sizes
            for name in self.arms_at(size)
            if baseline and name != baseline
        ]
        return self.score.changed(comparisons=comparisons.changed(baseline="", further=(*comparisons.further, *pairs)))

    def arm_names(self) -> list[str]:
        """Return the names of all arms, those with synthetic images last."""
        return [self.named(arm, size) for size in self.sizes for arm in self.arms_at(size)]

    def arms_at(self, size: Size) -> list[str]:
        """Return the arms of one size, without it in their names; those with synthetic images last."""
        return [*self.networks(), *(self.synthetic.arms_at(size) if self.synthetic else ())]


class SegmentationReportConfig(ReportConfig):
    """The report of a study of segmentation; `shown` names the arms with overlays, all if it is empty."""

    shown: tuple[str, ...] = ()


class SegmentationStudyConfig(SegmentationConfig):
    """A study of segmentation alone, with its report."""

    study: Literal["segmentation"]
    data_root: Annotated[Path, Runtime] = Path("data")
    report: SegmentationReportConfig

    @model_validator(mode="after")
    def _shown_arms_exist(self) -> "SegmentationStudyConfig":
        unknown = [name for name in self.report.shown if name not in self.arm_names()]
        if unknown:
            raise ValueError(f"report.shown: no arm {unknown[0]!r}; there are {', '.join(self.arm_names())}")
        return self


@dataclass(frozen=True)
class Segmentation:
    """Results of a segmentation study.

    Attributes:
        sweep: by arm without its size, the arms that differ in size alone, each with its labelled images.
        leaks: the overlap of every training input with the test images.
        arms: how each was trained.
    """

    images: ImageSet
    compared: UnetResults
    scores: Scores
    sweep: Mapping[str, Mapping[str, ImageSet]]
    leaks: LeakTable
    arms: Mapping[str, ArmDesign]

    def part(
        self, shown: Sequence[str] = (), sweep: Mapping[str, Mapping[str, ImageSet]] | None = None
    ) -> SegmentationPart:
        """Return this as a part of a report, with overlays of the arms `shown`, or of all if none is named."""
        masks = {arm: self.compared.masks[arm][0] for arm in shown or self.compared.masks}
        measured = self.compared.measurements
        return SegmentationPart(self.images, masks, measured, self.scores, self.leaks, sweep or {}, self.arms)

    def curves(self) -> dict[str, UnetWeights]:
        """Return the network of each arm's first seed and fold, whose losses a report shows."""
        return {arm: seeds[0][0] for arm, seeds in self.compared.unets.items()}


def evaluate(cfg: SegmentationConfig, data_root: Path, work: Workspace) -> Segmentation:
    """Curate, train, segment, measure, score."""
    heads = curated(cfg.heads, data_root, work)
    labels = labels_of(cfg.heads, data_root)
    cfg.check_outputs(labels)
    leaks = check(cfg, heads, data_root, work)
    start = work.read(data_root / cfg.encoder_file, hint="Or leave out encoder_file.") if cfg.encoder_file else None
    sets = {size: heads if size == "all" else work.run(take_few, FewConfig(images=size), heads) for size in cfg.sizes}
    arms = {
        cfg.named(name, size): UnetArm(unet, images)
        for size, images in sets.items()
        for name, unet in cfg.networks().items()
    }
    if cfg.synthetic is not None:
        for size, labelled in sets.items():
            added = synthetic_arms(cfg.synthetic, size, cfg.unet, heads, labelled, labels, start, data_root, work)
            arms |= {cfg.named(name, size): arm for name, arm in added.items()}
    compared = compare_unets(arms, cfg.seeds, cfg.folds, UnetTest(heads, start, cfg.segment, cfg.measure), work)
    scores = work.run(score_masks, cfg.scoring(), measurements=compared.measurements)
    designs = {name: arm.design(len(cfg.seeds)) for name, arm in arms.items()}
    return Segmentation(heads, compared, scores, _sweep(cfg, sets), leaks, designs)


def check(cfg: SegmentationConfig, heads: ImageSet, data_root: Path, work: Workspace) -> LeakTable:
    """Check the heads, and the training data of a generator's backbone, for leaks before anything is trained."""
    pretrained_on, weights = {}, {}
    if cfg.synthetic is not None and isinstance(cfg.synthetic.backbone, OnSiteBackbone):
        pretrained_on["backbone, pre-trained on site"] = curated(cfg.synthetic.backbone.images, data_root, work)
    elif cfg.synthetic is not None:
        weights["backbone"] = get_backbone(cfg.synthetic.backbone, data_root, work)
    return work.run(check_leaks, heads, trained_on={"U-Nets": heads}, pretrained_on=pretrained_on, weights=weights)


def _sweep(cfg: SegmentationConfig, sets: Mapping[Size, ImageSet]) -> dict[str, dict[str, ImageSet]]:
    """See `Segmentation.sweep`; empty with one size."""
    sweep: dict[str, dict[str, ImageSet]] = {}
    if len(cfg.sizes) == 1:
        return sweep
    for size, images in sets.items():
        for name in cfg.arms_at(size):
            sweep.setdefault(name, {})[cfg.named(name, size)] = images
    return sweep


def run(cfg: SegmentationStudyConfig, work: Workspace) -> Report:
    """Run the segmentation study and report it."""
    result = evaluate(cfg, cfg.data_root, work)
    part = result.part(cfg.report.shown, result.sweep)
    return work.run(report, cfg.report, [part, TrainingPart(result.curves())])
