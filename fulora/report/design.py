"""The section on a study's design: its arms, its images and patients, and the way from one to the other."""

from collections.abc import Iterable, Iterator, Mapping, Sequence

from fulora.data.column_types import SPLITS, Split
from fulora.data.hybrid import MIX_RECORD, MixRecord
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.score import Score
from fulora.json_files import read_json
from fulora.report.flow import flow_figure
from fulora.report.number_format import MISSING
from fulora.report.page import Figure, Section
from fulora.report.parts import (
    ArmDesign,
    AssessmentPart,
    ClassificationPart,
    GenerationPart,
    ReportPart,
    SegmentationPart,
)
from fulora.report.score_text import describe_quantity
from fulora.report.tables import Table
from fulora.words import counted

WIDEST = 9
"""Most classes that have a column each; of more, the table has their number and its CSV file every one."""
NAMES = {ClassificationPart: "classification", SegmentationPart: "segmentation"}


def design_sections(parts: Sequence[ReportPart]) -> list[Section]:
    """Return the section on design, or none of a report without test images."""
    tested = [part for part in parts if isinstance(part, ClassificationPart | SegmentationPart)]
    table = _images_table(_image_sets(parts))
    if not tested or table is None:
        return []
    declared = [score for part in tested for score in part.scores.rows() if score.role == "declared"]
    text = ("No patient is in more than one split of a set.", *map(_describe_declared, declared))
    tables = (*(_arms_table(part.arms, NAMES[type(part)]) for part in tested if part.arms), table)
    return [Section("Design", text, tables, tuple(_flows(parts, tested)))]


def _describe_declared(score: Score) -> str:
    return (
        f"Declared before the run: {score.arm} minus {score.baseline}, by {describe_quantity(score, structure=True)}, "
        f"on {counted(score.n_images, 'test image')} of {counted(score.n_patients, 'patient')}. All other comparisons "
        "are exploratory."
    )


def _flows(parts: Sequence[ReportPart], tested: Sequence[ClassificationPart | SegmentationPart]) -> Iterator[Figure]:
    synthetic = {
        name: made for part in parts if isinstance(part, GenerationPart) for name, made in part.synthetic.items()
    }
    for part in tested:
        if part.arms and part.images.rows("test"):
            made = synthetic if isinstance(part, ClassificationPart) else {}
            yield flow_figure(NAMES[type(part)], part.images, made, part.arms, part.scores.rows())


def _arms_table(arms: Mapping[str, ArmDesign], kind: str) -> Table:
    caption = (
        "What each arm is trained on: real images with their patients, added images, and added ones per real one. "
        "Steps are updates of the weights, of each seed."
    )
    header = ("Arm", "Real images", "Patients", "Added images", "Added per real one", "Network", "Training", "Seeds")
    return Table(f"Arms of {kind}", caption, header, tuple(_arm_line(name, arm) for name, arm in arms.items()))


def _arm_line(name: str, arm: ArmDesign) -> tuple[str, ...]:
    about = arm.network, arm.length or MISSING, str(arm.seeds)
    if arm.images is None:
        return name, *["0"] * 3, MISSING, *about
    rows = arm.images.rows("train")
    added = _added(arm.images)
    kept = len(rows) - added
    patients = {row.patient_key for row in rows if row.origin == "real"}
    ratio = f"{added / kept:.2f}" if kept else MISSING
    return name, f"{kept:,}", f"{len(patients):,}", f"{added:,}", ratio, *about


def _added(images: ImageSet) -> int:
    """Count the training images that were added to real ones: by the record of a mix, or else the synthetic ones."""
    if (images.path / MIX_RECORD).is_file():
        return sum(read_json(images.path / MIX_RECORD, MixRecord).added.values())
    return sum(row.origin == "synthetic" for row in images.iter_rows("train"))


def _image_sets(parts: Sequence[ReportPart]) -> dict[str, ImageSet]:
    """The real image sets of a report by name, each once."""
    named: list[tuple[str, ImageSet]] = []
    for part in parts:
        match part:
            case ClassificationPart():
                named.append(("classification", part.images))
                named += [(name.removeprefix("other_images."), images) for name, images in part.training.items()]
                named += [("few-shot", part.few)] if part.few is not None else []
            case AssessmentPart():
                named += [("held out", part.held_out)]
                named += [(f"trained on by {name}", images) for name, images in part.trained_on.items()]
            case SegmentationPart():
                named.append(("segmentation", part.images))
    sets: dict[str, ImageSet] = {}
    for name, images in sorted(named, key=lambda item: item[0] not in ("classification", "segmentation")):
        if all(images.path != other.path for other in sets.values()):
            sets[name] = images
    return sets


def _images_table(sets: Mapping[str, ImageSet]) -> Table | None:
    rows = {(name, split): _real(images.rows(split)) for name, images in sets.items() for split in SPLITS}
    rows = {key: found for key, found in rows.items() if found}
    if not rows:
        return None
    present = {row.plane for found in rows.values() for row in found}
    planes = list(dict.fromkeys(p for images in sets.values() for p in _names(images) if p in present))
    shown = planes if len(planes) <= WIDEST else []
    header = ("Set", "Split", "Site", *shown, "All images", "Patients")
    lines = tuple(
        (*key, site, *(f"{sum(row.plane == plane for row in at):,}" for plane in shown), f"{len(at):,}", _patients(at))
        for key, found in rows.items()
        for site, at in _by_site(found)
    )
    caption = "Real images by set, split and site." + ("" if shown else f" {len(planes)} classes: see the CSV file.")
    return Table("Images and patients", caption, header, lines, (), tuple(_raw(rows)))


def _names(images: ImageSet) -> tuple[str, ...]:
    return images.label_set().names if images.rows() else ()


def _real(rows: Iterable[Image]) -> list[Image]:
    return [row for row in rows if row.origin == "real"]


def _by_site(rows: Sequence[Image]) -> list[tuple[str, list[Image]]]:
    places = sorted({(row.source, row.site) for row in rows})
    several = len({source for source, _ in places}) > 1
    return [
        (f"{source}, {site}" if several else site, [row for row in rows if (row.source, row.site) == (source, site)])
        for source, site in places
    ]


def _patients(rows: Iterable[Image]) -> str:
    return f"{len({row.patient_key for row in rows}):,}"


def _raw(rows: Mapping[tuple[str, Split], Sequence[Image]]) -> Iterator[tuple[str, ...]]:
    yield "set", "split", "source", "site", "plane", "images", "patients"
    for key, found in rows.items():
        for place in sorted({(row.source, row.site, row.plane) for row in found}):
            at = [row for row in found if (row.source, row.site, row.plane) == place]
            yield *key, *place, str(len(at)), str(len({row.patient_key for row in at}))
