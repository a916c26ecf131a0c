"""Assessments as files: written by `fulora assess` as by a study, and read for the filters of a mix."""

import shlex
from collections.abc import Sequence
from pathlib import Path

from pydantic import BaseModel

from fulora.assessment.assess import write_findings
from fulora.assessment.folders import FolderAssessment
from fulora.data.assessed_images import FINDINGS, Assessment
from fulora.data.provenance import Provenance, provenance_of
from fulora.data.results import TABLE, write_table
from fulora.files import write_atomic
from fulora.integrity import content_digest
from fulora.json_files import read_json
from fulora.stage import RECORD, read_record
from pipelines.backbone_names import ASSETS
from pipelines.jobs.inputs import open_artifact
from pipelines.jobs.synthetic_sets import SyntheticImages

ASSESSED = "assessed.json"
"""Beside the rows of an assessment outside of studies: which set they are about."""

SHOWN = 3


class AssessmentError(ValueError):
    """A path that holds no assessment of the synthetic images. The message has the command that makes one."""


class _Assessed(BaseModel):
    synthetic: str


def write_assessment(
    folder: Path, result: FolderAssessment, synthetic: Path, *, clip: Path | None, judges: Path | None
) -> None:
    """Write an assessment as the stage `assess` does: a row for each image, the findings, and whose opinion they are.

    Args:
        synthetic: the folder that was assessed; its fingerprint is written beside the rows.
        clip: the CLIP of the encoder `clip`; the embedded one if None.
    """
    folder.mkdir(parents=True, exist_ok=True)
    source = clip or ASSETS / "clip"
    opinions = [provenance_of(source, f"CLIP {source.name}")]
    opinions += [] if judges is None else [provenance_of(judges, f"judges {judges.name}")]
    write_table(folder, result.rows)
    write_findings(folder, result.findings)
    Provenance().joined(*opinions).write(folder)
    write_atomic(folder / ASSESSED, _Assessed(synthetic=_fingerprint(synthetic)).model_dump_json() + "\n")


def open_assessment(path: Path, synthetic: SyntheticImages, real: Path, work: Path) -> Assessment:
    """Return the assessment in a folder, or in that of a file such as `report.html`.

    Args:
        synthetic: the images that it must be about.
        real: for the command in messages.

    Raises:
        FileNotFoundError: if the path does not exist.
        AssessmentError: if there are no rows, or they are about other images.
        DamagedArtifactError: if its files have changed since a study made it.
    """
    command = f"make it by\n  {assess_command(synthetic.images.path, real)}"
    folder = assessment_folder(path, synthetic.images.path, real)
    assessment = open_artifact(folder, Assessment, work)
    about = _assessed_set(folder)
    if about and about not in synthetic.fingerprints:
        raise AssessmentError(f"{path}: is the assessment of another set, {about}; {command}")
    rows = {row.image_id for row in assessment.rows()}
    if missing := [row.image_id for row in synthetic.images.iter_rows() if row.image_id not in rows]:
        raise AssessmentError(
            f"{path}: has no row for {len(missing)} of the synthetic images, such as {', '.join(missing[:SHOWN])}; "
            f"{command}"
        )
    return assessment


def assessment_folder(path: Path, synthetic: Path, real: Path) -> Path:
    """Return the folder of the rows of an assessment: `path`, or that of a file.

    Args:
        synthetic, real: for the command in messages.

    Raises:
        FileNotFoundError: if the path does not exist.
        AssessmentError: if there are no rows.
    """
    command = f"make it by\n  {assess_command(synthetic, real)}"
    if not path.exists():
        raise FileNotFoundError(f"{path}: no such assessment; {command}")
    folder = path if path.is_dir() else path.parent
    if lacking := [name for name in (TABLE, FINDINGS) if not (folder / name).is_file()]:
        raise AssessmentError(
            f"{path}: is no assessment of images, it lacks {' and '.join(lacking)} (--json and earlier reports hold "
            f"figures alone); {command}"
        )
    return folder


def assess_command(synthetic: Path, real: Path) -> str:
    """Return the command that assesses synthetic images, in which copies of real training images are looked for."""
    parts: Sequence[str | Path] = ("--real", real, "--train", real, "--out", "assessment")
    return shlex.join(["fulora", "assess", *map(str, (synthetic, *parts))])


def _fingerprint(folder: Path) -> str:
    """The fingerprint of an image set or folder, as `open_artifact` and `open_source` have it."""
    if (folder / RECORD).is_file():
        return read_record(folder)["fingerprint"]
    return content_digest(folder, None)[:16]


def _assessed_set(folder: Path) -> str:
    """The fingerprint of the set that an assessment is about; "" if it does not say."""
    if (folder / RECORD).is_file():
        return read_record(folder)["input_fingerprints"].get("synthetic", "")
    return read_json(folder / ASSESSED, _Assessed).synthetic if (folder / ASSESSED).is_file() else ""
