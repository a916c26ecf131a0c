"""What a report is made of: one record a section, which names the artifacts that the section shows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.results import Forgetting, LeakTable, MaskSet, Measurements, Predictions, Scores
from fulora.stage import Artifact
from fulora.words import counted

Sweeps = Mapping[str, Mapping[str, Mapping[str, float]]]
"""By what was varied and by curve, the position of each arm on the horizontal axis."""


@dataclass(frozen=True)
class ArmDesign:
    """How an arm was trained.

    Attributes:
        images: whose training split it is fitted to; None if it is not trained.
        network: its name, as readers know it.
        seeds: trainings that differ in their random numbers alone.
        steps, epochs: how long it is trained; both None if it is not trained by steps.
    """

    images: ImageSet | None
    network: str
    seeds: int
    steps: int | None = None
    epochs: int | None = None

    @property
    def length(self) -> str:
        """How long it is trained: `60 steps`; "" if it is not trained by steps."""
        if self.steps is not None:
            return counted(self.steps, "step")
        return "" if self.epochs is None else counted(self.epochs, "epoch")


@dataclass(frozen=True)
class GenerationPart:
    """Real and synthetic images of each class, and the distance of each synthetic set to held-out patients."""

    real: ImageSet
    synthetic: Mapping[str, ImageSet]
    scores: Scores
    images_per_row: int = 8


@dataclass(frozen=True)
class AssessmentPart:
    """The assessment of each synthetic set.

    Attributes:
        trained_on: by synthetic set, the images whose training split its images may be copies of.
        held_out: the set whose validation split trained no generator.
    """

    synthetic: Mapping[str, ImageSet]
    trained_on: Mapping[str, ImageSet]
    held_out: ImageSet
    assessments: Mapping[str, Assessment]


@dataclass(frozen=True)
class ClassificationPart:
    """Scores of classifiers.

    Attributes:
        images: the set whose test split is classified.
        training: the sets of real images that classifiers are trained on, by name.
        few: the patients that a few-shot classifier is trained and tested on, if there is one.
        predictions: by arm, one for each training seed.
        leaks: what every training input shares with the test images.
        arms: how each was trained.
    """

    images: ImageSet
    training: Mapping[str, ImageSet]
    few: ImageSet | None
    predictions: Mapping[str, Sequence[Predictions]]
    scores: Scores
    sweeps: Sweeps
    leaks: LeakTable
    arms: Mapping[str, ArmDesign] = field(default_factory=dict)


@dataclass(frozen=True)
class ForgettingPart:
    """Accuracy of each adapted CLIP between its original and its tuned weights, by arm."""

    arms: Mapping[str, Forgetting]


@dataclass(frozen=True)
class SegmentationPart:
    """Scores of segmentation networks.

    Attributes:
        masks: predicted by the first seed, of the arms that are shown as overlays.
        measurements: by arm, one for each training seed.
        leaks: what every training input shares with the test images.
        sweep: by curve and arm, the labelled images that the arm is trained on; their number is its position.
        arms: how each was trained.
    """

    images: ImageSet
    masks: Mapping[str, MaskSet]
    measurements: Mapping[str, Sequence[Measurements]]
    scores: Scores
    leaks: LeakTable
    sweep: Mapping[str, Mapping[str, ImageSet]] = field(default_factory=dict)
    arms: Mapping[str, ArmDesign] = field(default_factory=dict)


@dataclass(frozen=True)
class TrainingPart:
    """Losses of what was trained.

    Attributes:
        curves: by name, artifacts with a `metrics.jsonl` and, where samples were drawn, `samples/`.
        images: the set that is trained and validated on; its numbers of images are shown if it is given.
    """

    curves: Mapping[str, Artifact]
    images: ImageSet | None = None


ScoredPart = GenerationPart | ClassificationPart | SegmentationPart
ReportPart = ScoredPart | AssessmentPart | ForgettingPart | TrainingPart
