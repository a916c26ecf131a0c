"""The section on training: losses over steps, where over-fitting starts, and what was drawn on the way."""

import io
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from PIL import Image as Pil

from fulora.data.column_types import Split
from fulora.data.image_set import ImageSet
from fulora.data.pictures.decoding import open_picture
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.json_files import read_json_lines
from fulora.report.figures import plot_losses
from fulora.report.page import Figure, Section, file_stems
from fulora.report.parts import TrainingPart
from fulora.report.tables import Table

SHOWN = 4
SPLITS_SHOWN: tuple[Split, ...] = ("train", "validation")
WIDTH_PX = 1100
TEXT = "Losses over steps; validation images are of patients not trained on."
WORDS = {"loss": "each step", "seen_loss": "patients trained on", "validation_loss": "patients not trained on"}
"""What losses are called in figures."""


def training_sections(part: TrainingPart) -> list[Section]:
    """Return the numbers of images where they are given, then the losses, and sample grids where some were drawn."""
    compared: list[Figure] = []
    others: list[Figure] = []
    for name, stem in file_stems(part.curves).items():
        folder = part.curves[name].path
        points = _read_losses(folder)
        shown = compared if _is_compared(points) else others
        points = {WORDS.get(key, key): losses for key, losses in points.items()}
        alt = f"Losses of {name} over steps: {_ends(points)}."
        shown.append(Figure(f"loss-{stem}", plot_losses(points, name), f"Losses of {name}.", alt))
        shown += _samples(name, stem, folder / "samples")
    below = (
        (Section("Losses of the other trainings", (), (), tuple(others), folded=True),) if compared and others else ()
    )
    losses = Section("Training", (TEXT, *overfitting_sentences(part)), (), tuple(compared or others), below)
    return [*([_images_section(part.images)] if part.images is not None else []), losses]


def _images_section(images: ImageSet) -> Section:
    splits = {split: images.rows(split) for split in SPLITS_SHOWN}
    counts = {split: Counter(row.plane for row in rows) for split, rows in splits.items()}
    planes = [name for name in images.label_set().names if any(count[name] for count in counts.values())]
    lines = [(plane, *(str(count[plane]) for count in counts.values())) for plane in planes]
    lines.append(("all images", *(str(len(rows)) for rows in splits.values())))
    lines.append(("patients", *(str(len({row.patient_key for row in rows})) for rows in splits.values())))
    caption = "How many images are trained on and validated on."
    table = Table("Images by plane", caption, ("plane", *SPLITS_SHOWN), tuple(lines))
    return Section("Images", ("No patient is in more than one split.",), (table,), ())


def _ends(points: Mapping[str, Sequence[tuple[int, float]]]) -> str:
    ends = [(name, losses[0], losses[-1]) for name, losses in points.items() if losses]
    return "; ".join(f"{name} {a[1]:.3f} at step {a[0]}, {b[1]:.3f} at step {b[0]}" for name, a, b in ends)


def _read_losses(folder: Path) -> dict[str, list[tuple[int, float]]]:
    rows = read_json_lines(folder / "metrics.jsonl", dict[str, float])
    keys = sorted({key for row in rows for key in row if "loss" in key})
    return {key: [(int(row["step"]), row[key]) for row in rows if key in row] for key in keys}


def _is_compared(points: Mapping[str, object]) -> bool:
    """Whether there are losses of held-out patients and, over the same timesteps and noise, of trained ones."""
    return {"validation_loss", "seen_loss"} <= set(points)


def overfitting_sentences(part: TrainingPart) -> list[str]:
    """Return a sentence for each training whose losses of held-out and of trained patients are compared."""
    losses = {name: _read_losses(artifact.path) for name, artifact in part.curves.items()}
    return [
        _describe_overfitting(name, points["validation_loss"], points["seen_loss"])
        for name, points in losses.items()
        if _is_compared(points)
    ]


def _describe_overfitting(name: str, unseen: Sequence[tuple[int, float]], seen: Sequence[tuple[int, float]]) -> str:
    step, lowest = min(unseen, key=lambda point: point[1])
    last_step, last = unseen[-1]
    if step == last_step:
        return f"{name}: the loss on patients not trained on was lowest at the end, {lowest:.4f} after step {step}."
    at_lowest, end = dict(seen)[step], seen[-1][1]
    change = "fell" if end < at_lowest else "rose"
    verdict = "over-fitting starts" if end < at_lowest else "both losses turn"
    return (
        f"{name}: the loss on patients not trained on was lowest after step {step}, {lowest:.4f}, and {last:.4f} after "
        f"step {last_step}, while that on patients trained on {change} from {at_lowest:.4f} to {end:.4f}: {verdict} "
        "about there."
    )


def _samples(name: str, stem: str, folder: Path) -> list[Figure]:
    paths = sorted(folder.glob("step_*.png"))
    count = min(SHOWN, len(paths))
    chosen = [paths[round(place * (len(paths) - 1) / max(1, count - 1))] for place in range(count)]
    figures = []
    for path in chosen:
        step, mark = int(path.stem.removeprefix("step_")), read_mark(path)
        rows = f" Rows: {mark.caption}." if mark is not None else ""
        caption = f"{name} after step {step}, the same noise as in the other grids.{rows}"
        alt = f"Synthetic images of {name} after step {step}.{rows}"
        figures.append(Figure(f"samples-{stem}-{step}", _enlarged(path), caption, alt))
    return figures


def _enlarged(path: Path) -> bytes:
    with open_picture(path) as image:
        factor = max(1, WIDTH_PX // image.width)
        buffer = io.BytesIO()
        image.resize((image.width * factor, image.height * factor), Pil.Resampling.NEAREST).save(buffer, "PNG")
    return buffer.getvalue()
