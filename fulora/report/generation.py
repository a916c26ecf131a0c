"""The section on synthetic images: real and synthetic images side by side, and distances to held-out patients."""

from collections import Counter
from collections.abc import Mapping

import numpy as np

from fulora.data.column_types import Plane
from fulora.data.image_set import ImageSet
from fulora.diffusion.sets.blank_images import read_counts
from fulora.report.comparisons import describe_plot
from fulora.report.figures import plot_image_grid, plot_intervals
from fulora.report.page import Figure, Section, file_stems
from fulora.report.parts import GenerationPart
from fulora.report.score_text import describe_labels
from fulora.report.tables import Table, score_table

MANY = 12
"""Of more classes the overview shows one image each."""


def generation_section(part: GenerationPart) -> Section:
    """Return images of every class, real beside each synthetic set, and each set's distance to held-out patients."""
    scores = part.scores.rows()
    figures = [_overview(part.real, part.synthetic)]
    distances = [score for score in scores if not score.baseline and score.low is not None]
    if distances:
        plot = plot_intervals(
            [score.arm for score in distances],
            [score.value for score in distances],
            [score.low for score in distances],
            [score.high for score in distances],
            quantity=f"{distances[0].quantity} to unseen patients (0 is best)",
            baseline=0.0,
        )
        caption = "Distance of each set to held-out patients of the study population."
        figures.append(Figure("distance", plot, caption, describe_plot(distances)))
    table = score_table(scores, "Closeness to the study population", "Intervals of MMD² are 95 % jackknife intervals.")
    text = "The reference images are of patients that no weight was fitted to. Features are of texture and intensity."
    by_class = Section("Images of each class", (), (), tuple(_class_figures(part)), (), folded=True)
    tables = (table, *_blank_image_table(part.synthetic))
    below = (by_class,) if by_class.figures else ()
    return Section("Synthetic images beside real ones", (text,), tables, tuple(figures), below)


def _class_figures(part: GenerationPart) -> list[Figure]:
    figures, count = [], part.images_per_row
    for name, stem in file_stems(part.real.label_set().names).items():
        rows = {
            "real": _evenly_spaced(part.real, name, "train", count),
            **{f"{key}, synthetic": _evenly_spaced(made, name, "train", count) for key, made in part.synthetic.items()},
            "real, test population": _evenly_spaced(part.real, name, "test", count),
        }
        rows = {label: images for label, images in rows.items() if images}
        if rows:
            caption = f"{name}: the population trained on, each synthetic set, and the population tested on."
            alt = f"Images of {name} in rows: {', '.join(rows)}; {count} or fewer in each."
            figures.append(Figure(f"planes-{stem}", plot_image_grid(rows), caption, alt))
    return figures


def _blank_image_table(synthetic: Mapping[str, ImageSet]) -> list[Table]:
    """How many images of each set the blank-image check rejected, and why; none for sets that were not checked."""
    rows, alike = [], []
    for name, images in synthetic.items():
        if (counts := read_counts(images.path)) is not None:
            causes = Counter[str]()
            for faults in counts.rejected.values():
                causes.update(faults)
            rejected = ", ".join(f"{count} {fault}" for fault, count in causes.items()) or "none"
            rows.append((name, str(counts.images), str(counts.drawn), rejected))
            alike += [f" {name}: {', '.join(group)} look the same to the backbone." for group in counts.alike]
    caption = "Blank images, and images like another one, were generated again with the next seed."
    if not rows:
        return []
    header = ("Set", "Images", "Generated", "Rejected")
    return [Table("Blank-image check of synthetic images", caption + "".join(alike), header, tuple(rows))]


def _overview(real: ImageSet, synthetic: Mapping[str, ImageSet]) -> Figure:
    sets, present = {"study population": real, **synthetic}, {row.plane for row in real.rows()}
    classes = [name for name in real.label_set().names if name in present]
    each = 2 if len(classes) <= MANY else 1
    rows = {
        name: [pixels for plane in classes for pixels in _evenly_spaced(images, plane, "train", each)]
        for name, images in sets.items()
    }
    names, count = ", ".join(synthetic), "Two images" if each == 2 else "One image"
    caption = f"{count} each of {describe_labels(classes)}: the study population, then {names}."
    shown = {name: images for name, images in rows.items() if images}
    alt = f"Images in rows: {', '.join(shown)}; {count.lower()} of each of {describe_labels(classes)}, from the left."
    return Figure("overview", plot_image_grid(shown), caption, alt)


def _evenly_spaced(images: ImageSet, plane: Plane, split: str, count: int) -> list[np.ndarray]:
    rows = [row for row in images.rows() if row.plane == plane and row.split == split]
    return [images.pixels(row) for row in rows[:: max(1, len(rows) // count)][:count]]
