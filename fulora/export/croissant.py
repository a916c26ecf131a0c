"""Croissant: the image set as it is, with metadata that data set search and `mlcroissant` read (MLCommons, 1.0 + RAI).

`metadata.jsonl` stays for `datasets`. Croissant's records come from typed tables beside it: its reader would turn a
patient "0007" of a JSON line into the number 7.
"""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import mlcroissant as mlc
import pyarrow
from pyarrow import parquet

from fulora.data.column_types import Split
from fulora.data.image import METADATA, Image
from fulora.data.image_set import ImageSet
from fulora.data.provenance import FILE as PROVENANCE
from fulora.digests import file_digest
from fulora.export.card import COLUMNS, PERSONAL, USE, CardConfig, synthetic_rows, tags, usage_limits, used_splits
from fulora.export.source_files import files_of_row
from fulora.progress import track

VERSIONS = ["http://mlcommons.org/croissant/1.0", "http://mlcommons.org/croissant/RAI/1.0"]

INSTRUCTIONS = """```python
import mlcroissant

data = mlcroissant.Dataset("path/to/this/folder/croissant.json")
record = next(iter(data.records("train")))  # record["train/image"] is a PIL image
```

`datasets.load_dataset("path/to/this/folder")` opens it too. There an unknown measure is 0.0; in the tables it is null.
`sha256sum --check SHA256SUMS` checks every picture and table."""

WHERE = {
    "mask_file": "name of the mask in the split's folder: class numbers, 0 background; empty where there is none",
    "origin": "real or synthetic",
    "patient": "pseudonymous number, unique within source and site; empty for a synthetic image",
    "pixel_size_mm": "width of a pixel, mm",
    "hc_mm": "head circumference, mm",
    "aop_deg": "angle of progression, degrees",
    "seed": "of a synthetic image's noise",
    "generator": "fingerprint of the weights that made a synthetic image",
    "sha256": "of the size and the decoded pixels",
}


def write_croissant(images: ImageSet, rows: Sequence[Image], out: Path, card: CardConfig) -> str:
    """Copy the set, write its tables, `SHA256SUMS` and `croissant.json`; return how they are loaded."""
    _copy(images, rows, out)
    (out / "tables").mkdir()
    for split in used_splits(rows):
        _write_table([row for row in rows if row.split == split], out / "tables" / f"{split}.parquet")
    paths = sorted(path for path in out.rglob("*") if path.is_file())
    lines = [f"{file_digest(path)}  {path.relative_to(out).as_posix()}\n" for path in track(paths, "SHA256SUMS")]
    (out / "SHA256SUMS").write_text("".join(lines), encoding="utf-8")
    document = _metadata(rows, out, card).to_json()
    # Submission systems ask for this term; the RAI vocabulary that mlcroissant knows has no slot for it.
    document["rai:hasSyntheticData"] = bool(synthetic_rows(rows))
    path = out / "croissant.json"
    path.write_text(json.dumps(document, indent=1, ensure_ascii=False, default=str) + "\n", encoding="utf-8")
    mlc.Dataset(jsonld=path)  # raises if the document is invalid
    return INSTRUCTIONS


def _copy(images: ImageSet, rows: Sequence[Image], out: Path) -> None:
    for split in used_splits(rows):
        (out / split).mkdir()
        shutil.copyfile(images.path / split / METADATA, out / split / METADATA)
    if (images.path / PROVENANCE).is_file():
        shutil.copyfile(images.path / PROVENANCE, out / PROVENANCE)
    for row in track(rows, "croissant"):
        for path in files_of_row(images, row):
            target = out / path.relative_to(images.path)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, target)


def _write_table(rows: Sequence[Image], path: Path) -> None:
    columns = [*COLUMNS.items(), ("image_name", "string"), ("mask_name", "string")]
    schema = pyarrow.schema([(name, pyarrow.type_for_alias(kind)) for name, kind in columns])
    records = [
        row.model_dump() | {"image_name": Path(row.file_name).name, "mask_name": Path(row.mask_file).name}
        for row in rows
    ]
    parquet.write_table(pyarrow.Table.from_pylist(records, schema=schema), path)


def _metadata(rows: Sequence[Image], out: Path, card: CardConfig) -> mlc.Metadata:
    sources = sorted({f"{row.source} ({row.site})" for row in rows if row.origin == "real"}) or ["no real source"]
    masked = [split for split in used_splits(rows) if any(row.mask_file for row in rows if row.split == split)]
    distribution = [_object(out, "SHA256SUMS", "text/plain", "SHA-256 of every picture and table")]
    record_sets = []
    for split in used_splits(rows):
        distribution.append(_object(out, f"tables/{split}.parquet", "application/x-parquet", f"rows of {split}"))
        distribution.append(_pictures(split, "images"))
        record_sets.append(_records(split))
        if split in masked:
            distribution.append(_pictures(split, "masks"))
            record_sets.append(_masks(split))
    return mlc.Metadata(
        name=card.title,
        description=card.description or "Fetal ultrasound planes, in splits by patient.",
        conforms_to=VERSIONS,
        license=[card.licence_link or card.licence],
        cite_as="\n\n".join(card.citations) or None,
        creators=[mlc.Person(name=card.contact)] if card.contact else [],
        version=card.version,
        date_published=card.published or None,
        keywords=tags(rows),
        distribution=distribution,
        record_sets=record_sets,
        data_collection=f"Curated from: {', '.join(sources)}. {len(synthetic_rows(rows))} of {len(rows)} images are "
        "synthetic.",
        data_limitations=list(usage_limits(rows)),
        data_biases=["Sites, machines and operators are those of the sources alone; README.md counts them."],
        personal_sensitive_information=[PERSONAL],
        data_use_cases=list(USE),
    )


def _object(out: Path, name: str, encoding: str, description: str) -> mlc.FileObject:
    return mlc.FileObject(
        id=name,
        name=name,
        description=description,
        content_url=name,
        content_size=f"{(out / name).stat().st_size} B",
        encoding_formats=[encoding],
        sha256=file_digest(out / name),
    )


def _pictures(split: Split, kind: str) -> mlc.FileSet:
    name = f"{split}-{kind}"
    return mlc.FileSet(id=name, name=name, encoding_formats=["image/png"], includes=[f"{split}/{kind}/*.png"])


def _records(split: Split) -> mlc.RecordSet:
    """One record a row of the split: the columns of `Image`, and the picture."""
    kinds = {"string": mlc.DataType.TEXT, "int64": mlc.DataType.INTEGER, "float64": mlc.DataType.FLOAT}
    columns = [
        _column(split, split, name, kinds[kind], WHERE.get(name, name.replace("_", " ")))
        for name, kind in COLUMNS.items()
    ]
    return mlc.RecordSet(
        id=split, name=split, key=f"{split}/image_id", fields=[*columns, *_joined(split, split, "image")]
    )


def _masks(split: Split) -> mlc.RecordSet:
    """One record a row of the split: its id, and its mask where it has one. (A reader joins one table a record set.)"""
    name = f"{split}_masks"
    columns = [_column(name, split, "image_id", mlc.DataType.TEXT, "as in the split's records")]
    return mlc.RecordSet(id=name, name=name, key=f"{name}/image_id", fields=[*columns, *_joined(name, split, "mask")])


def _column(records: str, split: Split, name: str, kind: object, description: str) -> mlc.Field:
    source = mlc.Source(file_object=f"tables/{split}.parquet", extract=mlc.Extract(column=name))
    return mlc.Field(id=f"{records}/{name}", name=name, description=description, data_types=[kind], source=source)


def _joined(records: str, split: Split, kind: str) -> list[mlc.Field]:
    """The name of a row's picture or mask, and its pixels, found by that name."""
    files_of = f"{split}-{kind}s"
    name = _column(records, split, f"{kind}_name", mlc.DataType.TEXT, f"file name of the {kind}, without folders")
    name.references = mlc.Source(file_set=files_of, extract=mlc.Extract(file_property="filename"))
    pixels = mlc.Field(
        id=f"{records}/{kind}",
        name=kind,
        description=f"the {kind}",
        data_types=[mlc.DataType.IMAGE_OBJECT],
        source=mlc.Source(file_set=files_of, extract=mlc.Extract(file_property="content")),
    )
    return [name, pixels]
