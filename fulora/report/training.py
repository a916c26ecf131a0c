"""The section on training: losses over steps, where over-fitting starts, and what was drawn on the way."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.labels import Split
from fulora.data.pictures.decoding import open_picture
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.json_files import read_json_lines
from fulora.report.figures import plot_losses
from fulora.report.page import Figure, Section, file_words
from fulora.report.tables import Table
from fulora.stage import Artifact

SHOWN = 4
SPLITS_SHOWN: tuple[Split, ...] = ("train", "validation")
WIDTH_PX = 1100
WORDS = {
    "loss": "each step",
    "seen_loss": "patients trained on",
    "validation_loss": "patients not trained on",
}
"""What the losses of a LoRA are called in its figure."""


def images_section(images: ImageSet) -> Section:
    """How many images of how many patients each class has in each split."""
    rows = {split: images.rows(split) for split in SPLITS_SHOWN}
    planes = [
        plane
        for plane in images.label_set().names
        if any(row.plane == plane for found in rows.values() for row in found)
    ]
    lines = [(plane, *(str(sum(row.plane == plane for row in found)) for found in rows.values())) for plane in planes]
    lines.append(("all images", *(str(len(found)) for found in rows.values())))
    lines.append(("patients", *(str(len({row.patient_key for row in found})) for found in rows.values())))
    table = Table(
        "Images by plane", "How many images are trained on and validated on.", ("plane", *SPLITS_SHOWN), tuple(lines)
    )
    return Section("Images", ("Nobody is in two splits.",), (table,), ())


def training_section(curves: Mapping[str, Artifact]) -> Section:
    """The losses of everything that was trained, and sample grids where some were drawn.

    Args:
        curves: artifacts with a `metrics.jsonl`, by name.
    """
    text = ["Losses over steps; validation images are of patients not trained on."]
    figures = []
    words = file_words(curves)
    for name, artifact in curves.items():
        rows = read_json_lines(artifact.path / "metrics.jsonl", dict[str, float])
        keys = sorted({key for row in rows for key in row if "loss" in key})
        points = {key: [(int(row["step"]), row[key]) for row in rows if key in row] for key in keys}
        slug = words[name]
        shown = points
        if {"validation_loss", "seen_loss"} <= set(points):
            text.append(over_fitting(name, points["validation_loss"], points["seen_loss"]))
            shown = {WORDS.get(key, key): found for key, found in points.items()}
        figures.append(Figure(f"loss-{slug}", plot_losses(shown, name), f"Losses of {name}."))
        figures += _samples(name, slug, artifact.path / "samples")
    return Section("Training", tuple(text), (), tuple(figures))


def over_fitting(name: str, unseen: Sequence[tuple[int, float]], seen: Sequence[tuple[int, float]]) -> str:
    """What two curves over the same timesteps and noise say: patients not trained on, and patients trained on."""
    step, lowest = min(unseen, key=lambda point: point[1])
    last_step, last = unseen[-1]
    if step == last_step:
        return f"{name}: the loss on patients not trained on was lowest at the end, {lowest:.4f} after step {step}."
    there, end = dict(seen)[step], seen[-1][1]
    went = "fell" if end < there else "rose"
    said = "over-fitting starts" if end < there else "both losses turn"
    return (
        f"{name}: the loss on patients not trained on was lowest after step {step}, {lowest:.4f}, and {last:.4f} after "
        f"step {last_step}, while that on patients trained on {went} from {there:.4f} to {end:.4f}: {said} about there."
    )


def _samples(name: str, slug: str, folder: Path) -> list[Figure]:
    """The first grid, the last, and some between."""
    paths = sorted(folder.glob("step_*.png"))
    count = min(SHOWN, len(paths))
    chosen = [paths[round(place * (len(paths) - 1) / max(1, count - 1))] for place in range(count)]
    figures = []
    for path in chosen:
        step, mark = int(path.stem.removeprefix("step_")), read_mark(path)
        rows = f" Rows: {mark.caption}." if mark is not None else ""
        caption = f"{name} after step {step}, the same noise as in the other grids.{rows}"
        figures.append(Figure(f"samples-{slug}-{step}", _enlarged(path), caption, f"synthetic images, step {step}"))
    return figures


def _enlarged(path: Path) -> bytes:
    with open_picture(path) as image:
        factor = max(1, WIDTH_PX // image.width)
        buffer = io.BytesIO()
        image.resize((image.width * factor, image.height * factor), Pil.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
