"""The sections of a study's report, each made of artifacts' rows and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fulora.data.image_set import ImageSet
from fulora.data.labels import Plane
from fulora.data.score import Score
from fulora.diffusion.sets.blank_images import read_counts
from fulora.metrics.groups import ALL_IMAGES
from fulora.report.figures import plot_image_grid, plot_intervals
from fulora.report.numbers import rounded
from fulora.report.page import Card, Figure, ProvenanceRow, Section, file_words
from fulora.report.tables import Table, score_table
from fulora.report.wording import (
    arm_words,
    labels_words,
    quantity_words,
    readable,
    sign,
    unit_words,
    value_words,
)
from fulora.stage import Artifact, read_record

MANY = 12
"""Of more classes the overview shows one image each."""


def generation_section(
    real: ImageSet, synthetic: Mapping[str, ImageSet], scores: Sequence[Score], count: int
) -> Section:
    """Pictures of every class, real beside each synthetic set, and how far each set is from unseen patients."""
    figures, classes = _overviews(real, synthetic), real.label_set().names
    words = file_words(classes)
    for name in classes:
        rows = {
            "real": _some(real, name, "train", count),
            **{f"{made}, synthetic": _some(images, name, "train", count) for made, images in synthetic.items()},
            "real, test population": _some(real, name, "test", count),
        }
        shown = {label: pictures for label, pictures in rows.items() if pictures}
        if not shown:
            continue
        caption = f"{name}: the population the LoRA was trained on, each synthetic set, and the population tested on."
        figures.append(Figure(f"planes-{words[name]}", plot_image_grid(shown), caption, f"image grid of {name}"))
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
        figures.append(Figure("distance", plot, "Distance of each set to held-out patients of the study population."))
    table = score_table(scores, "Closeness to the study population", "Intervals of MMD² are 95 % jackknife intervals.")
    text = "The reference images are of patients that no weight was fitted to. Features are of texture and intensity."
    return Section("Synthetic images", (text,), (table, *_gate_table(synthetic)), tuple(figures))


def _gate_table(synthetic: Mapping[str, ImageSet]) -> list[Table]:
    """How many pictures of each set the first gate rejected, and why."""
    rows, alike = [], []
    for name, images in synthetic.items():
        if (counts := read_counts(images.path)) is not None:
            causes = Counter[str]()
            for faults in counts.rejected.values():
                causes.update(faults)
            said = ", ".join(f"{count} {fault}" for fault, count in causes.items()) or "none"
            rows.append((name, str(counts.images), str(counts.drawn), said))
            alike += [f" {name}: {', '.join(group)} look the same to the backbone." for group in counts.alike]
    caption = "Pictures that show nothing, or what another shows, were drawn again with the next seed."
    header = ("set", "images", "drawn", "rejected")
    return [Table("First look at synthetic pictures", caption + "".join(alike), header, tuple(rows))] if rows else []


def _overviews(real: ImageSet, synthetic: Mapping[str, ImageSet]) -> list[Figure]:
    """Two images of each class (one of each of many): the study population, and each synthetic set."""
    sets, present = {"study population": real, **synthetic}, {row.plane for row in real.rows()}
    classes = [name for name in real.label_set().names if name in present]
    each = 2 if len(classes) <= MANY else 1
    rows = {
        name: [image for one in classes for image in _some(images, one, "train", each)] for name, images in sets.items()
    }
    shown = {name: pictures for name, pictures in rows.items() if pictures}
    names = ", ".join(synthetic)
    count = "Two images" if each == 2 else "One image"
    caption = f"{count} each of {labels_words(classes)}: the study population, then {names}."
    return [Figure("overview", plot_image_grid(shown), caption, f"images of the study population and of {names}")]


def _some(images: ImageSet, plane: Plane, split: str, count: int) -> list[np.ndarray]:
    rows = [row for row in images.rows() if row.plane == plane and row.split == split]
    return [images.pixels(row) for row in rows[:: max(1, len(rows) // count)][:count]]


def key_numbers(scores: Sequence[Score]) -> list[Card]:
    """What the study declared, the figures behind it, what was gained in closeness, and a lone network's scores."""
    return [_card(score, scores) for score in scores if _is_key(score, scores)]


def _card(score: Score, scores: Sequence[Score]) -> Card:
    what = readable(quantity_words(score, structure=_several(scores, score)))
    value, interval = rounded(score.value, score.low, score.high, unit=score.unit)
    label = f"{what}, {arm_words(score)}{unit_words(score)}"
    return Card(label, value, interval, f"{score.n_images} images, {score.n_patients} patients")


def _is_key(score: Score, scores: Sequence[Score]) -> bool:
    if score.baseline:
        return score.role == "declared" or score.protocol == "generation"
    if score.group != ALL_IMAGES or score.statistic != "mean" or not score.rank:
        return False
    declared = [one for one in scores if one.role == "declared" and one.structure == score.structure]
    of_declared = any(score.arm in (one.arm, one.baseline) and _alike(one, score) for one in declared)
    return of_declared or _of_lone_network(score, scores)


def _alike(one: Score, other: Score) -> bool:
    return (one.quantity, one.unit, one.rule) == (other.quantity, other.unit, other.rule)


def _of_lone_network(score: Score, scores: Sequence[Score]) -> bool:
    """Of a network that is compared with no other: the first metric shown of its protocol, on everything together."""
    same = [one for one in scores if one.protocol == score.protocol and not one.baseline and one.rank]
    alone = {one.arm for one in same} == {score.arm}
    whole = "all" if any(one.structure == "all" for one in same) else score.structure
    first = score.rank == min(one.rank for one in same)
    return score.protocol in ("segmentation", "biometry") and alone and first and score.structure == whole


def _several(scores: Sequence[Score], score: Score) -> bool:
    return len({one.structure for one in scores if one.quantity == score.quantity}) > 1


def headline(scores: Sequence[Score]) -> list[str]:
    """What the study found, in plain sentences that say no more than the intervals do; what it declared first."""
    declared = [score for score in scores if score.role == "declared"]
    closer = [score for score in scores if score.baseline and score.protocol == "generation"]
    return [*map(_verdict, declared), *map(_closeness, closer)]


def _verdict(score: Score) -> str:
    arm, baseline = score.arm, score.baseline
    side = sign(score) if score.better == "higher" else -sign(score)
    said = {
        1: f"{arm} did better than {baseline}",
        -1: f"{arm} did worse than {baseline}",
        0: f"No evidence that {arm} and {baseline} differ",
    }[side if score.better else 0]
    return f"{said} on people never seen: {quantity_words(score)} changed by {value_words(score)}{unit_words(score)}."


def _closeness(score: Score) -> str:
    arm, baseline = score.arm, score.baseline
    said = {
        1: f"Images of {baseline} are closer to the study population than those of {arm}",
        -1: f"Images of {baseline} are further from the study population than those of {arm}",
        0: f"No evidence that images of {baseline} are closer to the study population than those of {arm}",
    }
    return f"{said[sign(score)]}: {score.quantity} of {arm} minus that of {baseline} is {value_words(score)}."


def provenance(artifacts: Sequence[Artifact]) -> list[ProvenanceRow]:
    """A row for every stage behind `artifacts`, the first stage first."""
    found: dict[str, ProvenanceRow] = {}
    for artifact in artifacts:
        _collect(artifact, found)
    return list(found.values())


def _collect(artifact: Artifact, found: dict[str, ProvenanceRow]) -> None:
    if artifact.fingerprint in found or not artifact.made or artifact.made == artifact.fingerprint:
        return
    record = read_record(artifact.path)
    for folder in record["input_folders"].values():
        path = artifact.path.parent / folder
        if (path / "stage.json").is_file():
            _collect(Artifact(path, read_record(path)["fingerprint"]), found)
    inputs = {name: fingerprint for name, fingerprint in record["input_fingerprints"].items()}
    found[artifact.fingerprint] = ProvenanceRow(
        record["stage"],
        record["label"],
        artifact.fingerprint,
        record["digest"][:16],
        inputs,
        record["identity"]["version"],
        record["identity"]["arguments"],
    )
