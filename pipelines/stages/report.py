"""One self-contained page with every picture, table and number of a study, and where each comes from."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import Field, PositiveInt

from fulora.config import Config
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.results import Forgetting, LeakTable, MaskSet, Measurements, Predictions, Report, Scores
from fulora.stage import Artifact, stage


class ReportConfig(Config):
    """The page's title, what it says of its data, and how many images a row of a grid shows."""

    title: str = Field(pattern=r"\w")
    about: str
    images_per_row: PositiveInt = 8


@stage(version=7)
def report(
    out: Path,
    config: ReportConfig,
    real: ImageSet,
    training: Mapping[str, ImageSet],
    few: ImageSet | None,
    synthetic: Mapping[str, ImageSet],
    assessments: Mapping[str, Assessment],
    trained_on: Mapping[str, ImageSet],
    scores: Mapping[str, Scores],
    predictions: Mapping[str, Sequence[Predictions]],
    forgetting: Mapping[str, Forgetting],
    leaks: LeakTable,
    sweeps: Mapping[str, Mapping[str, Mapping[str, float]]],
    curves: Mapping[str, Artifact],
    heads: ImageSet | None,
    masks: Mapping[str, MaskSet],
    measurements: Mapping[str, Sequence[Measurements]],
    leaks_of_heads: LeakTable | None,
) -> Report:
    """Write `report.html`, `report.md`, the tables as CSV and the figures as PNG.

    Args:
        training: the sets of real images that classifiers are trained on, by name.
        few: the few patients that a few-shot head learns from, and those it is tested on.
        assessments: of each synthetic set.
        trained_on: by synthetic set, the images whose training split its pictures may be copies of.
        scores: `generation`, `classification` and, with heads, `segmentation`.
        masks, measurements: of the heads, by arm; masks of the first seed, measurements one a seed.
        sweeps: what was varied over arms, by curve, and the place of each arm on it.
        curves: artifacts with a `metrics.jsonl` and, where some were drawn, `samples/`, by name.
    """
    from fulora.assessment.sets import read_sets
    from fulora.data.class_counts import missing_classes
    from fulora.report import sections
    from fulora.report.assessment import assessment_sections
    from fulora.report.classification import classification_section
    from fulora.report.forgetting import forgetting_sections
    from fulora.report.page import write_report
    from fulora.report.segmentation import segmentation_section
    from fulora.report.training import training_section

    rows = {name: item.rows() for name, item in scores.items()}
    tables = {arm: [item.rows() for item in seeds] for arm, seeds in predictions.items()}
    labels = real.label_set()
    parts = [
        sections.generation_section(real, synthetic, rows["generation"], config.images_per_row),
        *assessment_sections(
            {name: read_sets(synthetic[name], trained_on[name], real) for name in assessments}, assessments
        ),
        classification_section(tables, labels, rows["classification"], sweeps, leaks.rows()),
        *forgetting_sections({arm: item.rows() for arm, item in forgetting.items()}),
    ]
    if heads is not None and leaks_of_heads is not None:
        found = {arm: [item.rows() for item in seeds] for arm, seeds in measurements.items()}
        parts.append(segmentation_section(heads, masks, found, rows["segmentation"], {}, leaks_of_heads.rows()))
    parts.append(training_section(curves))
    everything = [score for found in rows.values() for score in found]
    used: list[Artifact] = [real, *synthetic.values(), *assessments.values(), *scores.values(), *curves.values()]
    write_report(
        out,
        title=config.title,
        warnings=missing_classes(training, real, few),
        summary=[*sections.headline(everything), config.about],
        sections=parts,
        provenance=sections.provenance(used),
        cards=sections.key_numbers(everything),
    )
    return Report(out, "")
