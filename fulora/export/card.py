"""The data set card: a README on the content of an export, how to load it, and what it must not be used for.

Its YAML head follows the Hugging Face Hub, so that the folder can be uploaded, and opened by `load_dataset`, as it is.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Literal, get_args

import yaml
from pydantic import Field

from fulora import markdown
from fulora.config import Config
from fulora.data.column_types import SPLITS, Origin, Split
from fulora.data.image import Image
from fulora.data.label_set import LabelSet
from fulora.data.provenance import Provenance
from fulora.markdown import escaped_markdown
from fulora.terminal import printable

Format = Literal["parquet", "webdataset", "croissant", "kohya"]
"""The formats an image set can be exported to."""

COLUMNS = {
    name: "int64" if field.annotation is int else "float64" if field.annotation == float | None else "string"
    for name, field in Image.model_fields.items()
}
"""The type of each column of `Image` in a typed table; the same in every split, also where a column is empty."""

ORIGINS: tuple[Origin, ...] = get_args(Origin)

SIZES = ((10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M"))

FILES: dict[Format, str] = {"parquet": "data/{}-*.parquet", "webdataset": "{}-*.tar", "croissant": "{}/**"}
"""Where the files of a split are, for `load_dataset`. A Kohya folder is no data set of its own: it has one split."""

USE = (
    "Research and teaching: training and comparing methods on scarce fetal ultrasound.",
    "Not for diagnosis, screening or any other clinical decision, and not part of a medical device.",
)
LIMITS = (
    "Real images have the labels of their sources, synthetic ones the requested class; nobody has read every image.",
    "The images come from few sites, machines and operators: the counts above say which. Others will differ.",
)
SYNTHETIC_LIMITS = (
    "Synthetic images show no patient. They can be anatomically wrong, and can resemble a training image closely.",
    "A model trained with them has to be measured on real images of other patients; none is in validation or test.",
)
PERSONAL = (
    "Real images have their source's pseudonymous patient number, kept so that no patient is in two splits. "
    "Nothing here was made to identify anybody, and nobody may try to."
)


class CardConfig(Config):
    """Information that is not in the images.

    Attributes:
        title: name of the data set.
        description: a paragraph on it.
        licence: as the Hugging Face Hub writes it, such as `cc-by-4.0`; `other` with a link; or `unknown`.
        licence_link: where the licence can be read.
        citations: what to cite, BibTeX or plain; the sources' own papers belong here too.
        contact: whom to ask.
        version: of the data set, as 1.0.0.
        published: date of publication, as 2026-01-31; "" for none.
    """

    title: str = Field(default="Fetal ultrasound image set", min_length=1)
    description: str = ""
    licence: str = Field(default="unknown", pattern=r"^[a-z0-9][a-z0-9.+-]*$")
    licence_link: str = ""
    citations: tuple[str, ...] = ()
    contact: str = ""
    version: str = Field(default="1.0.0", pattern=r"^\d+\.\d+\.\d+$")
    published: str = Field(default="", pattern=r"^(\d{4}-\d{2}-\d{2})?$")


def card_text(
    rows: Sequence[Image], labels: LabelSet, provenance: Provenance, format: Format, config: CardConfig, use: str
) -> str:
    """Return the card of an export, Markdown with a YAML head. Control characters are escaped.

    Args:
        labels: the classes; a class number in the export is a place in their order.
        provenance: of the generators and models behind the images; only the number of training patients is written.
        use: how the format is loaded, Markdown.
    """
    head = yaml.safe_dump(header(rows, labels, format, config), sort_keys=False, allow_unicode=True, width=1000)
    about = config.description or "Fetal ultrasound planes, in splits by patient."
    parts = [
        f"---\n{head}---\n\n# {escaped_markdown(config.title)}\n\n{about}",
        f"**{USE[1]}**",
        f"## What is in it\n\n{_counts(rows, labels)}",
        f"## Where it comes from\n\n{_sites(rows)}\n\n{_generators(rows, provenance)}",
        f"## How to load it\n\n{use}",
        f"## Provenance\n\n{_provenance(rows)}",
        f"## Limits\n\n{_list(usage_limits(rows))}",
        f"## Use\n\n{_list(USE)}\n\n{PERSONAL}",
        f"## Licence, citation, contact\n\n{_licence(config)}",
    ]
    return printable("\n\n".join(parts) + "\n")


def header(rows: Sequence[Image], labels: LabelSet, format: Format, config: CardConfig) -> dict[str, object]:
    """Return the YAML head of a card: what the Hub shows and filters by, and where each split's files are."""
    head: dict[str, object] = {"pretty_name": config.title, "license": config.licence}
    if config.licence == "other":
        head["license_name"] = "other"
    if config.licence_link:
        head["license_link"] = config.licence_link
    head["task_categories"] = tasks(rows)
    head["tags"] = tags(rows)
    head["size_categories"] = [next((name for limit, name in SIZES if len(rows) < limit), "n>1M")]
    if format in FILES:
        files = [{"split": split, "path": FILES[format].format(split)} for split in used_splits(rows)]
        head["configs"] = [{"config_name": "default", "data_files": files}]
        if format == "webdataset":
            head["dataset_info"] = {"features": tar_features(rows, labels)}
    else:
        head["viewer"] = False
    return head


def tar_features(rows: Sequence[Image], labels: LabelSet) -> list[dict[str, object]]:
    """Return the features of a tar for the Hub: without them `datasets` guesses types from five samples, and fails."""
    features: list[dict[str, object]] = [{"name": "png", "dtype": "image"}]
    if any(row.mask_file for row in rows):
        features.append({"name": "mask.png", "dtype": "image"})
    names = {str(number): name for number, name in enumerate(labels.names)}
    return [
        *features,
        {"name": "cls", "dtype": {"class_label": {"names": names}}},
        {"name": "json", "struct": [{"name": name, "dtype": kind} for name, kind in COLUMNS.items()]},
        {"name": "txt", "dtype": "string"},
        {"name": "__key__", "dtype": "string"},
        {"name": "__url__", "dtype": "string"},
    ]


def tasks(rows: Sequence[Image]) -> list[str]:
    """Return the tasks of the set, in the Hub's words."""
    found = ["image-classification", "text-to-image"]
    return [*found, "image-segmentation"] if any(row.mask_file for row in rows) else found


def tags(rows: Sequence[Image]) -> list[str]:
    """Return the tags of the set; `synthetic` if it has any synthetic image."""
    return ["medical", "ultrasound", "fetal-ultrasound", *(["synthetic"] if synthetic_rows(rows) else [])]


def used_splits(rows: Sequence[Image]) -> list[Split]:
    """Return the splits that have images, in order."""
    found = {row.split for row in rows}
    return [split for split in SPLITS if split in found]


def synthetic_rows(rows: Sequence[Image]) -> list[Image]:
    """Return the synthetic rows."""
    return [row for row in rows if row.origin == "synthetic"]


def usage_limits(rows: Sequence[Image]) -> tuple[str, ...]:
    """Return the known limits of the set."""
    return LIMITS + (SYNTHETIC_LIMITS if synthetic_rows(rows) else ())


def _counts(rows: Sequence[Image], labels: LabelSet) -> str:
    found = Counter((row.split, row.plane, row.origin) for row in rows)
    lines = [
        (split, escaped_markdown(plane), *(found[split, plane, origin] for origin in ORIGINS))
        for split in used_splits(rows)
        for plane in labels.names
        if any(found[split, plane, origin] for origin in ORIGINS)
    ]
    total = ("all", "", *(sum(row.origin == origin for row in rows) for origin in ORIGINS))
    patients = ", ".join(
        f"{len({row.patient_key for row in rows if row.split == split and row.patient_key})} in {split}"
        for split in used_splits(rows)
    )
    masked = sum(bool(row.mask_file) for row in rows)
    return (
        f"{markdown.table(('split', 'plane', *ORIGINS), [*lines, total])}\n\n"
        f"Patients: {patients}; none is in two splits. Images with a mask: {masked}."
    )


def _sites(rows: Sequence[Image]) -> str:
    images: Counter[tuple[str, str, str]] = Counter()
    patients = defaultdict(set)
    for row in rows:
        if row.origin == "real":
            place = (row.source, row.site, row.machine or "not known")
            images[place] += 1
            patients[place].add(row.patient_key)
    if not images:
        return "There are no real images in it."
    lines = [(*map(escaped_markdown, place), images[place], len(patients[place])) for place in sorted(images)]
    return markdown.table(("source", "site", "machine", "images", "patients"), lines)


def _generators(rows: Sequence[Image], provenance: Provenance) -> str:
    counts = Counter(row.generator for row in synthetic_rows(rows))
    if not counts:
        return "There are no synthetic images in it."
    lines = [(markdown.code(name), count) for name, count in sorted(counts.items())]
    unknown = ", ".join(markdown.code(name) for name in provenance.unknowns())
    return (
        f"{markdown.table(('generator', 'synthetic images'), lines)}\n\n"
        "Generators behind them, and the weights these started from, were trained on images of "
        f"{len(provenance.patients())} patients, none of whom is in the test of this set. Do not test on those "
        "patients what was trained on these images."
        f"{f' The training data of these are unknown: {unknown}.' if unknown else ''}"
    )


def _provenance(rows: Sequence[Image]) -> str:
    text = (
        "Each picture's file is the one that was curated or generated, byte for byte; `sha256` is of its size and "
        "decoded pixels. Each PNG carries its row as text under `fulora`."
    )
    if not synthetic_rows(rows):
        return text
    return (
        f"{text} A synthetic PNG also says so in XMP (`Iptc4xmpExt:DigitalSourceType` is `trainedAlgorithmicMedia`), "
        "with its prompt, seed and generator. Saving a picture anew can drop both: keep the column `origin` too."
    )


def _licence(config: CardConfig) -> str:
    named = {"unknown": "Not stated. State one before you publish this, and keep to those of the sources."}
    licence = named.get(config.licence, config.licence)
    parts = [f"Licence: {licence}{f' ({config.licence_link})' if config.licence_link else ''}"]
    parts += [f"```bibtex\n{citation.strip()}\n```" for citation in config.citations]
    return "\n\n".join([*parts, *([f"Contact: {config.contact}"] if config.contact else [])])


def _list(lines: Iterable[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)
