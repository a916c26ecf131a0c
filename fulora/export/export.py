"""Exports: an image set in the formats that other tools read, with every picture's file unchanged."""

from collections.abc import Sequence
from pathlib import Path

from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.image_set_rules import check_rows
from fulora.export.card import CardConfig, Format, card_text, used_splits
from fulora.export.source_files import ExportError, check_files, files_of_row
from fulora.files import atomic_folder


def export(
    images: ImageSet,
    format: Format,
    out: Path,
    *,
    card: CardConfig | None = None,
    repeats: int = 1,
    shard_bytes: int = 256 * 2**20,
) -> Path:
    """Export an image set and its label set. Equal sets give equal bytes; `out` is complete or absent.

    Pictures are read one at a time.

    Args:
        out: the folder to make. It must not exist.
        card: title, licence and citations for the card and the metadata.
        repeats: kohya only: how often its trainer shows each image an epoch.
        shard_bytes: parquet and webdataset only: a file is closed before its pictures exceed this.

    Returns:
        `out`.

    Raises:
        ExportError: if `out` exists; if there are no images (kohya: no training images); if a picture's file is
            missing, duplicate or outside the set; if a synthetic picture is not marked; for a number below 1, a caption
            of several lines (kohya), or without `mlcroissant` (croissant).
        LabelSetError: if the set has no label set.
        ImageSetError: if the set breaks a rule of `fulora.data.image_set_rules`.
    """
    card = card or CardConfig()
    every = images.rows()
    rows = [row for row in every if format != "kohya" or row.split == "train"]
    if not rows:
        wanted = "images to train on" if format == "kohya" else "images"
        raise ExportError(f"{images.path}: holds no {wanted}; there is nothing to export")
    if out.exists() or out.is_symlink():
        raise ExportError(f"{out}: exists already; remove it, or export to another folder")
    for name, number in (("repeats", repeats), ("shard_bytes", shard_bytes)):
        if number < 1:
            raise ExportError(f"{name}: is {number}; it is at least 1")
    labels, provenance = images.label_set(), images.provenance()
    check_rows(every, provenance)
    check_files(images, rows)
    with atomic_folder(out) as work:
        labels.write(work)
        use = _write(images, rows, format, work, card, repeats, shard_bytes)
        text = card_text(rows, labels, provenance, format, card, use)
        (work / "README.md").write_text(text, encoding="utf-8")
    return out


def shards(images: ImageSet, rows: Sequence[Image], shard_bytes: int) -> dict[Split, list[list[Image]]]:
    """Return the rows of each split in order, in parts with pictures of at most `shard_bytes`, or a single picture."""
    parts_by_split: dict[Split, list[list[Image]]] = {}
    for split in used_splits(rows):
        parts: list[list[Image]] = []
        filled = shard_bytes
        for row in (row for row in rows if row.split == split):
            size = sum(path.stat().st_size for path in files_of_row(images, row))
            if filled + size > shard_bytes:
                parts.append([])
                filled = 0
            parts[-1].append(row)
            filled += size
        parts_by_split[split] = parts
    return parts_by_split


def _write(
    images: ImageSet, rows: Sequence[Image], format: Format, out: Path, card: CardConfig, repeats: int, size: int
) -> str:
    """Write one format into `out`; returns how it is loaded. Imports only what this format needs."""
    match format:
        case "parquet":
            from fulora.export.parquet import write_parquet

            return write_parquet(images, shards(images, rows, size), out)
        case "webdataset":
            from fulora.export.webdataset import write_webdataset

            return write_webdataset(images, shards(images, rows, size), out)
        case "croissant":
            try:
                from fulora.export.croissant import write_croissant
            except ImportError as error:
                raise ExportError('the format croissant needs mlcroissant: pip install "fulora[export]"') from error
            return write_croissant(images, rows, out, card)
        case "kohya":
            from fulora.export.kohya import write_kohya

            return write_kohya(images, rows, out, repeats)
