"""`assess`: fidelity, diversity, copies, label truth and shortcuts of synthetic images."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from fulora.assessment.assess import as_json
from fulora.assessment.config import AssessConfig
from fulora.assessment.folders import FolderAssessment, assess_folders
from fulora.assessment.trusted_encoders import trusted_digests
from fulora.assessment.verdicts import describe_memorisation
from pipelines.jobs.assessments import write_assessment
from pipelines.jobs.images import Images
from pipelines.jobs.tables import Table

if TYPE_CHECKING:
    from pandas import DataFrame

DEFAULT_ENCODERS = ("pixels", "hash", "clip")


@dataclass(frozen=True)
class Assessed:
    """An assessment of synthetic images.

    Attributes:
        result: all findings, and a row for each image.
        paths: the files and folders that were written.
    """

    result: FolderAssessment
    paths: Sequence[Path] = ()

    @property
    def verdicts(self) -> list[str]:
        """One sentence for each class, and one for each encoder on copies of training images."""
        findings = self.result.findings
        return [*map(str, findings.verdicts), *describe_memorisation(findings.encoders)]

    @property
    def table(self) -> Table:
        """The verdicts, a row each."""
        return Table(f"{len(self.result.rows)} synthetic images", [{"verdict": line} for line in self.verdicts])

    def to_pandas(self) -> "DataFrame":
        """Return a row for each synthetic image, with the filters that would reject it."""
        import pandas

        return pandas.DataFrame([row.model_dump() for row in self.result.rows])

    def to_json(self) -> Any:
        """Return all findings."""
        return json.loads(as_json(self.result.findings))

    def _repr_html_(self) -> str:
        return self.table._repr_html_()


def assess(
    synthetic: str | Path | Images,
    real: str | Path | Images,
    *,
    train: str | Path | Images | None = None,
    out: str | Path | None = None,
    report: str | Path | None = None,
    encoders: Sequence[str] = DEFAULT_ENCODERS,
    trust_encoder: bool = False,
    labels: str | None = None,
    prompts: str = "",
    clip: str | Path | None = None,
    judges: str | Path | None = None,
    false_reject: float = 0.05,
    draws: int = 9999,
    seed: int = 0,
    cache: str | Path | None = None,
    device: str = "auto",
) -> Assessed:
    """Assess synthetic images with real images of held-out patients as reference.

    Example:

        findings = fu.assess("synthetic", real="planes", train="planes", out="assessment")

    Args:
        synthetic, real: image sets, or folders of images.
        train: the images that trained the generator; then copies of patients are looked for. One image set for `real`
            and `train` is divided by its splits.
        out: folder for the rows of all images, which `fu.mix` reads.
        report: folder for a page with images, tables and curves, and the rows of `out`.
        encoders: pixels, hash, clip, clip:FOLDER, timm:NAME[:FILE] or torchscript:FILE.
        trust_encoder: run the code of torchscript:FILE, which could write any of your files.
        labels, prompts, clip, judges, cache: as `fulora.assessment.folders.assess_folders`.
        false_reject: share of real images that each filter may reject.
        draws: random divisions of patients in each test.
        device: auto, cpu, cuda or mps.

    Raises:
        UntrustedEncoderError: if a TorchScript encoder is not trusted.
        PicturesError: if a folder has no images, or a set lacks a split.
        OverlapError: if the generator, or a model that it is based on, was fitted to a real image or its patient.
    """
    chosen = tuple(encoders)
    config = AssessConfig(
        encoders=chosen,
        false_reject=false_reject,
        draws=draws,
        seed=seed,
        trusted_encoders=trusted_digests(chosen) if trust_encoder else (),
        device=device,
    )
    made, clip_folder, judge_folder = _folder(synthetic), _optional(clip), _optional(judges)
    result = assess_folders(
        made,
        _folder(real),
        config,
        train=None if train is None else _folder(train),
        labels=labels,
        prompts=prompts,
        clip=clip_folder,
        judges=judge_folder,
        cache=_optional(cache),
    )
    page, rows = _optional(report), _optional(out)
    if page is not None:
        from fulora.report.assessment import write_assessment_report

        write_assessment_report(page, result.sets, result.findings, result.rows, title=f"Synthetic images: {made.name}")
    for folder in dict.fromkeys(folder for folder in (rows, page) if folder is not None):
        write_assessment(folder, result, made, clip=clip_folder, judges=judge_folder)
    written = ([] if page is None else [page / "report.html"]) + ([] if rows is None else [rows])
    return Assessed(result, written)


def _folder(images: str | Path | Images) -> Path:
    return images.path if isinstance(images, Images) else Path(images)


def _optional(path: str | Path | None) -> Path | None:
    return None if path is None else Path(path)
