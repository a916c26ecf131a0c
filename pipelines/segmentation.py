"""The segmentation study: train networks on heads, by arm, size and seed; segment people never seen; measure."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, PositiveInt, field_validator, model_validator

from fulora.config import Config, Json, Runtime
from fulora.data.manifest import ImageSet
from fulora.data.results import Report, Scores
from fulora.intake.config import CurateConfig, Hc18Config, PhantomsConfig, PsfhsConfig
from fulora.segmentation.config import FROM_A_FILE, SegmentConfig, UnetConfig
from fulora.segmentation.scores import MaskScoreConfig
from fulora.workspace import Workspace
from pipelines.changes import about, each_laid_over, laid_over
from pipelines.sources import curated, labels_of
from pipelines.stages.measure import MeasureConfig
from pipelines.stages.report_segmentation import ReportSegmentationConfig, report_segmentation
from pipelines.stages.score_masks import score_masks
from pipelines.stages.take_few import FewConfig, take_few
from pipelines.synthetic_heads import SyntheticHeadsConfig, synthetic_arms
from pipelines.unet_arms import Compared, Tested, UnetArm, compare_unets, trainings

Size = PositiveInt | Literal["all"]
ALONE = "U-Net"
"""The name of the only arm of a study that names none."""


class SegmentationConfig(Config):
    """Heads with masks, and the networks that learn them.

    Attributes:
        unet: what all arms share. Its `seed` is that of the teachers of `synthetic`; arms are trained with `seeds`.
        arms: networks by name, each `unet` with what it says otherwise; without any, `unet` alone.
        baseline: the arm that all others are compared with, at the same number of training images.
        sizes: numbers of training images, one set of arms each; all take as many steps.
        seeds: each arm is trained with each.
        folds: each training becomes an ensemble of so many, each of which leaves one fold of the training patients out.
        encoder_file: a file under `data_root` that arms start from whose `encoder_weights` read one.
        synthetic: what is generated, and the arms that train on it.
    """

    heads: CurateConfig
    unet: UnetConfig = Field(default_factory=UnetConfig)
    arms: dict[str, UnetConfig] = Field(default_factory=dict)
    baseline: str = ""
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
        """An arm in YAML says only what differs from `unet`."""
        if not isinstance(values, dict):
            return values
        return each_laid_over(values, "arms", lambda one: laid_over(UnetConfig, values.get("unet", {}), one), {})

    @field_validator("heads")
    @classmethod
    def _masks_in_three_splits(cls, value: CurateConfig) -> CurateConfig:
        for number, source in enumerate(value.sources):
            masks = (
                source.planes == ("brain",)
                if isinstance(source, PhantomsConfig)
                else isinstance(source, Hc18Config | PsfhsConfig)
            )
            if not masks:
                raise ValueError(
                    f"source {number} ({source.kind}) has no masks; use hc18, psfhs, or phantoms of planes: [brain]"
                )
        if len({isinstance(source, PsfhsConfig) for source in value.sources}) > 1:
            raise ValueError("psfhs has other classes than hc18 and phantoms; give them to two studies")
        value.check_splits()
        return value

    @model_validator(mode="after")
    def _fits_together(self) -> "SegmentationConfig":
        arms = self.networks()
        for name, seeds in (("seeds", self.seeds), ("sizes", self.sizes)):
            if len(set(seeds)) < len(seeds):
                raise ValueError(f"{name}: {list(seeds)}: one stands twice")
        names = self.arm_names()
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice:
            raise ValueError(f"arms: {twice} is there already; give another name")
        if self.baseline and self.baseline not in arms:
            raise ValueError(f"baseline: no arm {self.baseline!r}; there are {', '.join(arms)}")
        wanted = 3 if any(isinstance(source, PsfhsConfig) for source in self.heads.sources) else 1
        for name, arm in arms.items():
            if arm.classes != wanted:
                raise ValueError(f"{name}: classes={arm.classes}, and these masks have {wanted}")
            if arm.encoder_weights in FROM_A_FILE and self.encoder_file is None:
                raise ValueError(f"{name}: encoder_weights={arm.encoder_weights} reads a file: set encoder_file")
        unknown = sorted(set(self.score.declared or ()) - set(self.arm_names()))
        if unknown:
            raise ValueError(f"score.declared: no arm {unknown[0]!r}; there are {', '.join(self.arm_names())}")
        return self

    @model_validator(mode="after")
    def _every_network_can_be(self) -> "SegmentationConfig":
        if self.unet.fold is not None:
            raise ValueError("unet.fold would not be used: folds says of how many, and each is trained")
        for name, unet in self.arms.items():
            if (unet.seed, unet.fold) != (self.unet.seed, None):
                raise ValueError(f"arms.{name}: its seed and fold would not be used: the study's seeds and folds are")
        for name, unet in self.networks().items():
            trainings(unet, f"arms.{name}", self.seeds, self.folds)
        if self.synthetic is not None:
            trainings(self.unet, "synthetic: teachers", (self.unet.seed,), self.synthetic.folds)
            with about("synthetic: student"):
                student = self.synthetic.student(self.unet)
            trainings(student, "synthetic: student", self.seeds, self.folds)
        return self

    def networks(self) -> dict[str, UnetConfig]:
        """The networks of the arms, by name."""
        return self.arms or {ALONE: self.unet}

    def named(self, arm: str, size: Size) -> str:
        """The name of an arm with so many training images."""
        return arm if len(self.sizes) == 1 else f"{arm}, {size} images"

    def arm_names(self) -> list[str]:
        """All arms, those of synthetic images last."""
        return [self.named(arm, size) for size in self.sizes for arm in self.arms_at(size)]

    def arms_at(self, size: Size) -> list[str]:
        """The arms of so many training images, without their size; those of synthetic images last."""
        return [*self.networks(), *(self.synthetic.arms_at(size) if self.synthetic else ())]


class SegmentationStudyConfig(SegmentationConfig):
    """A study of segmentation alone, with its report."""

    study: Literal["segmentation"]
    data_root: Annotated[Path, Runtime] = Path("data")
    report: ReportSegmentationConfig

    @model_validator(mode="after")
    def _shows_arms_that_are_there(self) -> "SegmentationStudyConfig":
        unknown = [name for name in self.report.shown if name not in self.arm_names()]
        if unknown:
            raise ValueError(f"report.shown: no arm {unknown[0]!r}; there are {', '.join(self.arm_names())}")
        return self


@dataclass(frozen=True)
class Segmentation:
    """What the segmentation part of a study made.

    Attributes:
        sweep: by arm without its size, the arms that differ in nothing else, and the images each has the masks of.
    """

    images: ImageSet
    compared: Compared
    scores: Scores
    sweep: Mapping[str, Mapping[str, ImageSet]]


def evaluate(cfg: SegmentationConfig, data_root: Path, work: Workspace) -> Segmentation:
    """Curate, train, segment, measure, score."""
    heads = curated(cfg.heads, data_root, work)
    start = work.read(data_root / cfg.encoder_file, hint="Or leave out encoder_file.") if cfg.encoder_file else None
    sets = {size: heads if size == "all" else work.run(take_few, FewConfig(images=size), heads) for size in cfg.sizes}
    arms = {
        cfg.named(name, size): UnetArm(unet, images)
        for size, images in sets.items()
        for name, unet in cfg.networks().items()
    }
    if cfg.synthetic is not None:
        labels = labels_of(cfg.heads, data_root)
        for size, labelled in sets.items():
            made = synthetic_arms(cfg.synthetic, size, cfg.unet, heads, labelled, labels, start, data_root, work)
            arms |= {cfg.named(name, size): arm for name, arm in made.items()}
    tested = Tested(heads, start, cfg.segment, cfg.measure)
    compared = compare_unets(arms, cfg.seeds, cfg.folds, tested, work)
    pairs = tuple(
        (cfg.named(name, size), cfg.named(cfg.baseline, size))
        for size in cfg.sizes
        for name in cfg.arms_at(size)
        if cfg.baseline and name != cfg.baseline
    )
    scoring = cfg.score.changed(pairs=(*cfg.score.pairs, *pairs))
    scores = work.run(score_masks, scoring, measurements=compared.measurements)
    return Segmentation(heads, compared, scores, _sweep(cfg, sets))


def _sweep(cfg: SegmentationConfig, sets: Mapping[Size, ImageSet]) -> dict[str, dict[str, ImageSet]]:
    """By arm without its size, its arms and their labelled images; nothing where there is one size."""
    if len(cfg.sizes) == 1:
        return {}
    found: dict[str, dict[str, ImageSet]] = {}
    for size, images in sets.items():
        for name in cfg.arms_at(size):
            found.setdefault(name, {})[cfg.named(name, size)] = images
    return found


def run(cfg: SegmentationStudyConfig, work: Workspace) -> Report:
    """The whole study."""
    found = evaluate(cfg, cfg.data_root, work)
    return work.run(
        report_segmentation,
        cfg.report,
        images=found.images,
        masks={name: seeds[0] for name, seeds in found.compared.masks.items()},
        measurements=found.compared.measurements,
        scores=found.scores,
        curves={name: seeds[0][0] for name, seeds in found.compared.unets.items()},
        sweep=found.sweep,
    )
