"""The flow diagram of a study, from its sources to its analysis, with the numbers of images and patients."""

from collections.abc import Mapping, Sequence

from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.score import Score
from fulora.report.diagram import Box, draw_diagram
from fulora.report.page import Figure
from fulora.report.parts import ArmDesign
from fulora.report.score_text import describe_arm, describe_quantity
from fulora.words import counted

SHOWN = 8
"""Most arms, sources or sites that are named; more are counted."""
SPLITS: Mapping[Split, tuple[str, str]] = {
    "train": ("Training", "weights are fitted to these"),
    "validation": ("Validation", "checkpoints are chosen on these"),
    "test": ("Test", "never used in training"),
}


def flow_figure(
    kind: str,
    images: ImageSet,
    synthetic: Mapping[str, ImageSet],
    arms: Mapping[str, ArmDesign],
    scores: Sequence[Score],
) -> Figure:
    """Return the diagram of one comparison of arms.

    Args:
        kind: the task, such as `classification`.
        images: the set whose splits are trained on, selected on and tested on.
        synthetic: by generator.
    """
    rows = images.rows()
    boxes = [Box(0, 0, "Real images", _sources(rows), span=3)]
    arrows = []
    for column, (split, (title, use)) in enumerate(SPLITS.items()):
        boxes.append(Box(column, 1, title, (_count([row for row in rows if row.split == split]), use)))
        arrows.append((0, column + 1))
    if synthetic:
        lines = [f"{name}: {counted(len(made.rows()), 'image')}" for name, made in synthetic.items()]
        boxes.append(Box(0, 2, "Synthetic images", _shortened(lines)))
        arrows += [(1, len(boxes) - 1), (len(boxes) - 1, len(boxes))]
    lines = [f"{name}: {_trained_on(arm)}" for name, arm in arms.items()]
    boxes.append(Box(1, 2, f"{counted(len(arms), 'arm')} of {kind}", _shortened(lines)))
    at = len(boxes) - 1
    boxes.append(Box(1, 3, "Analysis", _analysis(scores), span=2))
    arrows += [(1, at), (2, at), (at, at + 1), (3, at + 1)]
    alt = "; ".join(f"{box.title}: {', '.join(box.lines)}" for box in boxes)
    caption = f"From the sources to the analysis of {kind}: images and patients at each step."
    return Figure(f"flow-{kind}", draw_diagram(boxes, arrows, alt), caption, alt)


def _sources(rows: Sequence[Image]) -> tuple[str, ...]:
    lines = []
    for source in dict.fromkeys(row.source for row in rows):
        of_source = [row for row in rows if row.source == source]
        sites = sorted({row.site for row in of_source})
        named = f"sites {', '.join(sites)}" if 1 < len(sites) <= SHOWN else f"site {sites[0]}"
        lines.append(f"{source}: {_count(of_source)}, {named if len(sites) <= SHOWN else f'{len(sites)} sites'}")
    return _shortened(lines)


def _count(rows: Sequence[Image]) -> str:
    return f"{counted(len(rows), 'image')} of {counted(len({row.patient_key for row in rows}), 'patient')}"


def _trained_on(arm: ArmDesign) -> str:
    return "not trained" if arm.images is None else counted(len(arm.images.rows("train")), "image")


def _shortened(lines: Sequence[str]) -> tuple[str, ...]:
    return (*lines[:SHOWN], *([f"and {len(lines) - SHOWN} more"] if len(lines) > SHOWN else []))


def _analysis(scores: Sequence[Score]) -> tuple[str, ...]:
    declared = [score for score in scores if score.role == "declared"]
    seeds = max((score.n_seeds for score in scores), default=1)
    lines = [f"declared: {describe_arm(score)}, {describe_quantity(score, structure=True)}" for score in declared]
    return (*_shortened(lines), f"intervals resample patients; {counted(seeds, 'training seed')}")
