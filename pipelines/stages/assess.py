"""Assess one synthetic set: fidelity, diversity, copies, label truth, shortcuts, and what filters would reject."""

from pathlib import Path

from fulora.assessment.config import AssessConfig
from fulora.assessment.trust import check_trusted
from fulora.clip.prompts import PromptSet
from fulora.data.manifest import ImageSet
from fulora.data.screened import Assessment
from fulora.data.weights import ClipWeights, JudgeWeights
from fulora.stage import Source, stage


def _encoders_may_run(config: AssessConfig, **inputs: object) -> None:
    check_trusted(config.encoders, config.trusted_encoders)


@stage(version=3, check=_encoders_may_run)
def assess(
    out: Path,
    config: AssessConfig,
    synthetic: ImageSet,
    trained_on: ImageSet,
    held_out: ImageSet,
    clip: ClipWeights | Source,
    prompts: PromptSet,
    judges: JudgeWeights | None = None,
) -> Assessment:
    """Write `table.jsonl` about each synthetic image and `findings.json` about all.

    Args:
        trained_on: whose training split trained the generator.
        held_out: whose validation split shows patients who trained nothing.
        clip: what the encoder `clip` means, and who is asked by `prompts`.
    """
    from fulora.assessment.assess import assess as assessed
    from fulora.assessment.assess import write_findings
    from fulora.assessment.sets import sets_of
    from fulora.data.results import write_table

    found, rows = assessed(
        sets_of(synthetic, trained_on, held_out),
        config,
        prompts=prompts.classes(),
        clip=clip.path,
        judges=None if judges is None else judges.path,
    )
    write_table(out, rows)
    write_findings(out, found)
    return Assessment(out, "")
