"""Assess one synthetic set: fidelity, diversity, copies, label truth, shortcuts, and rejections by filters."""

from pathlib import Path

from fulora.assessment.config import AssessConfig
from fulora.assessment.trusted_encoders import check_trusted
from fulora.clip.prompts import PromptSet, prompts_of
from fulora.data.assessed_images import Assessment
from fulora.data.image_set import ImageSet
from fulora.data.weights import ClipWeights, JudgeWeights
from fulora.stage import Source, stage


def _encoders_may_run(config: AssessConfig, **inputs: object) -> None:
    check_trusted(config.encoders, config.trusted_encoders)


@stage(version=4, check=_encoders_may_run)
def assess(
    out: Path,
    config: AssessConfig,
    synthetic: ImageSet,
    trained_on: ImageSet,
    held_out: ImageSet,
    clip: ClipWeights | Source,
    prompts: PromptSet | None,
    judges: JudgeWeights | None = None,
) -> Assessment:
    """Write `table.jsonl` about each synthetic image and `findings.json` about all.

    Args:
        trained_on: its training split trained the generator.
        held_out: its validation split has held-out patients.
        clip: the CLIP of the encoder `clip`, and of `prompts`.

    Raises:
        LabelSetError: if the images or the judges have different classes.
        OverlapError, SameNumberError: if the generator, or a parent of it, was fitted to a held-out image or patient.
    """
    from fulora.assessment.assess import assess as assessed
    from fulora.assessment.assess import write_findings
    from fulora.assessment.assessed_sets import read_sets
    from fulora.data.leak_check import refuse_leaks
    from fulora.data.patient_numbers import different_patients
    from fulora.data.provenance import Provenance, provenance_of
    from fulora.data.results import write_table

    distinct_patients = different_patients(held_out.path)
    refuse_leaks(
        [synthetic.provenance()], held_out.rows("validation"), uses=("fitted",), distinct_patients=distinct_patients
    )
    opinions = [provenance_of(clip.path, f"CLIP {clip.path.name}")]
    opinions += [] if judges is None else [provenance_of(judges.path, f"judges {judges.path.name}")]
    findings, rows = assessed(
        read_sets(synthetic, trained_on, held_out),
        config,
        prompts=prompts_of(held_out.label_set(), prompts).texts(),
        clip=clip.path,
        judges=None if judges is None else judges.path,
    )
    write_table(out, rows)
    write_findings(out, findings)
    Provenance().joined(*opinions).write(out)
    return Assessment(out, "")
