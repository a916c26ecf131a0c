"""`Score`: a number of a report, as a record; `fulora.report` renders it in words."""

from typing import TYPE_CHECKING, Literal

from pydantic import Field, NonNegativeFloat, PositiveInt, field_validator

from fulora.config import Config
from fulora.data.column_types import Plane
from fulora.data.comparisons import ComparisonsConfig
from fulora.metrics.image_groups import ALL_IMAGES, Better, ImageGroup, RuleKind

if TYPE_CHECKING:
    from fulora.metrics.statistics import Interval

Protocol = Literal["prompt", "transfer", "adapted", "fewshot", "generation", "segmentation", "biometry"]
Role = Literal["", "declared", "exploratory"]
"""Of a comparison: whether it was declared before the run."""
Statistic = Literal["mean", "median", "percentile 5", "percentile 95"]
Test = Literal["", "sign flip", "swap"]


class Score(Config):
    """One number with its interval, scope, data and test.

    Attributes:
        quantity: the name of the metric, such as `macro F1`, `Dice` or `circumference absolute difference`.
        statistic: over images, then the mean over training seeds; `mean` also of what only a set of images has (AUC).
        structure: of a mask; "" of scores without masks.
        group: which of the images.
        rule: by which a class was decided, or which probabilities; "" where there are no classes.
        choices: how many classes the rule can decide for.
        labels: the classes that the score is averaged over, or is of.
        baseline: of a comparison, whose value is that of `arm` minus that of `baseline`; else "".
        n_seeds: training seeds.
        n_failed: over all seeds, images without a mask or measurement. With a protocol `segmentation` they count as
            the worst value; else, and in comparisons (images that not all have), they are left out.
        better: which values of the quantity are better.
        rank: its rank among the metrics that the study shows, from 1; 0 if it is in CSV files only.
        p: of a comparison, two-sided: the larger of `p_patients` and `p_seeds`.
        p_patients: of `test`, a permutation of whole patients; the training seeds as given.
        p_seeds: of a paired t test over training seeds; None for fewer than three.
        p_holm: `p` adjusted by Holm over `n_holm` comparisons of other arms, or over `n_holm` sites.
        p_mcnemar: of Obuchowski's clustered McNemar test.
        detectable: the least true difference found with 80 % power.
        note: why there is no interval, or not the bootstrap's, and other remarks.
    """

    quantity: str
    statistic: Statistic = "mean"
    structure: str = ""
    group: ImageGroup = ALL_IMAGES
    rule: RuleKind | Literal[""] = ""
    choices: int | None = None
    labels: tuple[str, ...] = ()
    arm: str
    baseline: str = ""
    protocol: Protocol
    value: float
    low: float | None = None
    high: float | None = None
    unit: str = "1"
    n_images: int
    n_patients: int
    n_seeds: int = 1
    n_failed: int | None = None
    better: Better = ""
    rank: int = 0
    role: Role = ""
    p: float | None = None
    p_patients: float | None = None
    test: Test = ""
    p_seeds: float | None = None
    p_holm: float | None = None
    n_holm: int | None = None
    p_mcnemar: float | None = None
    detectable: float | None = None
    note: str = ""

    @classmethod
    def of(
        cls,
        interval: "Interval",
        *,
        quantity: str,
        arm: str,
        protocol: Protocol,
        baseline: str = "",
        unit: str = "1",
        n_seeds: int = 1,
        note: str = "",
    ) -> "Score":
        """A score from its interval; why it has no bounds goes into the note. `changed` gives further fields."""
        return cls(
            quantity=quantity,
            arm=arm,
            baseline=baseline,
            protocol=protocol,
            unit=unit,
            n_seeds=n_seeds,
            value=interval.value,
            low=interval.low,
            high=interval.high,
            n_images=interval.n,
            n_patients=interval.clusters,
            note="; ".join(filter(None, (note, interval.reason))),
        )


def _hybrid_and_real() -> ComparisonsConfig:
    return ComparisonsConfig(declared=("hybrid", "real"))


class ScoreConfig(Config):
    """How intervals are drawn, what is tested, and which metrics of which arms are compared.

    Attributes:
        draws: of the bootstrap over patients (and seeds).
        level: of the intervals.
        seed: of the draws.
        permutations: of patients in each test; the least p is 1 over one more.
        comparisons: which arms are compared. The declared one, of the first metric, is the one that the study is about.
        metrics: names from `fulora.metrics.classification_metrics` that are compared and shown, in this order. Without
            any: accuracy first, macro F1 and AUC; shown also balanced accuracy and the calibration error.
        prior: shares of the planes where the classifiers are to be used, to which a decision is adjusted as well.
            Declared here, never read from the images tested on. A plane that is not named has none.
        legacy_auc: also FU-LoRA's published AUC, which is wrong, to compare with their table.
    """

    draws: PositiveInt = 2000
    level: float = Field(default=0.95, gt=0, lt=1)
    seed: int = 0
    permutations: PositiveInt = 9999
    comparisons: ComparisonsConfig = Field(default_factory=_hybrid_and_real)
    metrics: tuple[str, ...] = ()
    prior: dict[Plane, NonNegativeFloat] | None = None
    legacy_auc: bool = False

    @field_validator("metrics")
    @classmethod
    def _known_metrics(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if value:
            from fulora.metrics.classification_metrics import select_metrics

            select_metrics(value)
        return value

    @field_validator("prior")
    @classmethod
    def _shares(cls, value: dict[Plane, float] | None) -> dict[Plane, float] | None:
        if value is not None and not sum(value.values()) > 0:
            raise ValueError("the shares of the planes are numbers of 0 or more, one of them above 0")
        return value
