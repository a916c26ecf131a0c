"""What a mix would add, and from how many synthetic images, before anything is written."""

from collections import Counter
from typing import NamedTuple

from fulora.data.assessed_images import Assessment
from fulora.data.hybrid import ASSESSED, MixConfig, added_to
from fulora.data.image_set import ImageSet
from fulora.data.image_set_rules import check_rows
from fulora.data.label_set import LabelSet, refuse_other_classes
from fulora.intake.check.check_folder import curate_config
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources
from pipelines.jobs.assessments import assessment_folder
from pipelines.jobs.inputs import is_image_set
from pipelines.jobs.mix import MixError, MixRequest, check_real
from pipelines.jobs.synthetic_sets import count_synthetic, provenance_of_sets
from pipelines.jobs.tables import Cell, Table


class RealImages(NamedTuple):
    """The real training images of each class, and their classes."""

    counts: Counter[str]
    labels: LabelSet


def plan_mix(request: MixRequest) -> Table:
    """Return a row for each class: real training images, how many of them are kept, added ones, available ones.

    Pictures are not read, so what the filters of pixels reject is not known.

    Raises:
        ValueError: if the images could not be mixed.
    """
    config, real = request.config, _count_real(request)
    if isinstance(config.ratio, dict):
        real.labels.require(config.ratio, where="mix.ratio")
    kept = _kept(real.counts, config)
    added = added_to(
        {name: (real.counts if config.real == "none" else kept)[name] for name in real.labels.names}, config
    )
    rows: list[dict[str, Cell]] = [
        {"class": name, "real": real.counts[name], "kept": kept[name], "added": added.get(name, 0)}
        for name in real.labels.names
    ]
    notes = [f"arm {config.arm}; filters: {', '.join(config.filters) or 'none'}"] if config.arm == "hybrid" else []
    if config.arm == "hybrid":
        for folder in request.synthetic:
            if is_image_set(folder):
                others = ImageSet(folder, "").label_set()
                refuse_other_classes(real.labels, others, name=str(request.real), other_name=str(folder))
        available = count_synthetic(request.synthetic, real.labels)
        passing = _passing(request)
        for row in rows:
            row["synthetic"] = available[str(row["class"])]
            if passing is not None:
                row["pass the assessment"] = passing[str(row["class"])]
        if config.assessed and request.assessment is None:
            notes.append("filters need an assessment of the joined synthetic images; mixing makes them, and would stop")
        notes += _shortages(rows, config)
    return Table(f"would be mixed: {request.real}", rows, notes)


def _count_real(request: MixRequest) -> RealImages:
    """The training images of the real set, or those that its curation would give."""
    if request.curation is None and is_image_set(request.real):
        images = ImageSet(request.real, "")
        rows = images.rows("train")
        check_real(request.real, [row.origin for row in rows])
        if request.config.arm == "hybrid":
            check_rows(images.rows(), provenance_of_sets(request.synthetic))
        return RealImages(Counter(row.plane for row in rows), images.label_set())
    config, root = curate_config(request.real, {"fit": "native", **(request.curation or {})})
    findings = Findings()
    sources = Sources(findings, root)
    expected, labels = sources.expect("images", config), sources.labels("images", config)
    findings.stop(str(request.real))
    if labels is None:
        raise MixError(f"{request.real}: its classes are unknown; name them by images.label_set=NAME")
    counts = expected.counts("train")
    check_real(request.real, ["real"] * counts.total())
    return RealImages(counts, labels)


def _kept(real: Counter[str], config: MixConfig) -> Counter[str]:
    """The number of real training images that are kept of each class."""
    if config.real == "none":
        return Counter()
    if config.real == "all":
        return real
    each = min(real.values()) if config.real_per_plane is None else config.real_per_plane
    if few := ", ".join(f"{plane} {count}" for plane, count in real.items() if count < each):
        raise MixError(f"real_per_plane={each}: there are fewer real training images of {few}")
    return Counter(dict.fromkeys(real, each))


def _passing(request: MixRequest) -> Counter[str] | None:
    """The assessed images that pass the filters, by class; None if no filter reads an assessment."""
    if not request.config.assessed or request.assessment is None:
        return None
    folder = assessment_folder(request.assessment, request.synthetic[0], request.real)
    filters = set(request.config.filters) & set(ASSESSED)
    rows = Assessment(folder, "").rows()
    return Counter(row.plane for row in rows if not filters & set(row.fails))


def _shortages(rows: list[dict[str, Cell]], config: MixConfig) -> list[str]:
    """A line for each class of which fewer images are available than are added."""
    lines = []
    for row in rows:
        wanted, available = row["added"], row.get("pass the assessment", row["synthetic"])
        if isinstance(wanted, int) and isinstance(available, int) and available < wanted:
            done = "some are used several times" if config.too_few == "repeat" and available else "mixing would stop"
            lines.append(f"{row['class']}: {wanted} are wanted and {available} available: {done}")
    return lines
