"""The sections of a study's report, each made of artifacts' rows and pictures."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from fulora.data.labels import PLANES, Plane
from fulora.data.manifest import ImageSet
from fulora.data.results import Score
from fulora.diffusion.gate import read_counts
from fulora.report.figures import plot_image_grid, plot_intervals
from fulora.report.page import Card, Figure, ProvenanceRow, Section
from fulora.report.tables import Table, rounded, score_table
from fulora.stage import Artifact, read_record


def generation_section(
    real: ImageSet, synthetic: Mapping[str, ImageSet], scores: Sequence[Score], count: int
) -> Section:
    """Pictures of every plane, real beside base and LoRA, and how far each set is from unseen patients."""
    figures = [_overview(real, synthetic)]
    for plane in PLANES:
        rows = {
            "real": _some(real, plane, "train", count),
            **{f"{name}, synthetic": _some(images, plane, "train", count) for name, images in synthetic.items()},
            "real, test population": _some(real, plane, "test", count),
        }
        shown = {name: pictures for name, pictures in rows.items() if pictures}
        caption = f"{plane}: the population the LoRA was trained on, the base, the LoRA, and the population tested on."
        figures.append(Figure(f"planes-{plane}", plot_image_grid(shown), caption, f"image grid of {plane} planes"))
    distances = [score for score in scores if score.name.startswith("MMD² to")]
    plot = plot_intervals(
        [score.arm for score in distances], [score.value for score in distances],
        [score.low for score in distances], [score.high for score in distances],
        quantity="MMD² to unseen patients (0 is best)", baseline=0.0,
    )  # fmt: skip
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


def _overview(real: ImageSet, synthetic: Mapping[str, ImageSet]) -> Figure:
    """Two images of each plane: the study population, the base, the LoRA."""
    sets = {"study population": real, **synthetic}
    rows = {
        name: [image for plane in PLANES for image in _some(images, plane, "train", 2)] for name, images in sets.items()
    }
    caption = f"Two images each of {', '.join(PLANES)}: the study population, the base backbone, the LoRA."
    return Figure("overview", plot_image_grid(rows), caption, "planes of the study population, the base and the LoRA")


def _some(images: ImageSet, plane: Plane, split: str, count: int) -> list[np.ndarray]:
    rows = [row for row in images.rows() if row.plane == plane and row.split == split]
    return [images.pixels(row) for row in rows[:: max(1, len(rows) // count)][:count]]


def key_numbers(scores: Sequence[Score]) -> list[Card]:
    """The contrast the study is about, and the accuracies behind it."""
    declared = [score.arm for score in scores if score.role == "declared"]
    compared = {("accuracy", arm) for pair in declared for arm in pair.split(" - ")}
    wanted = compared | {
        ("MMD² of base minus MMD² of LoRA", "base - LoRA"),
        ("Dice", "U-Net"),
        ("HC ADF", "U-Net"),
    }
    chosen = [
        score
        for score in scores
        if score.role == "declared" or ((score.name, score.arm) in wanted and score.group == "all")
    ]
    cards = []
    for score in chosen:
        value, interval = rounded(score.value, score.low, score.high, unit=score.unit)
        label = score.name if score.arm in score.name or " minus " in score.name else f"{score.name}, {score.arm}"
        label = label if score.unit == "1" else f"{label} ({score.unit})"
        cards.append(Card(label, value, interval, f"{score.n_images} images, {score.n_patients} patients"))
    return cards


def headline(scores: Sequence[Score]) -> list[str]:
    """What the study found, in plain sentences that say no more than the intervals do."""
    declared = [score for score in scores if score.role == "declared"]
    return [_verdict(score) for score in (*declared, *(score for score in scores if score.arm == "base - LoRA"))]


def _verdict(score: Score) -> str:
    value, interval = rounded(score.value, score.low, score.high, unit=score.unit)
    low, high = score.low or 0.0, score.high or 0.0
    if score.role == "declared":
        arm, baseline = score.arm.split(" - ", 1)
        said = {
            1: f"{arm} beat {baseline}",
            -1: f"{arm} lost to {baseline}",
            0: f"No evidence that {arm} and {baseline} differ",
        }
        if (arm, baseline) == ("hybrid", "real"):
            said = {
                1: "Synthetic images helped",
                -1: "Synthetic images hurt",
                0: "No evidence that synthetic images help or hurt",
            }
        return f"{said[_sign(low, high)]} on people never seen: accuracy changed by {value} {interval}."
    said = {
        1: "The LoRA's images are closer to the study population than the base's",
        -1: "The LoRA's images are further from the study population than the base's",
        0: "No evidence that the LoRA moved the images towards the study population",
    }
    return f"{said[_sign(low, high)]}: MMD² of the base minus MMD² of the LoRA is {value} {interval}."


def _sign(low: float, high: float) -> int:
    return 1 if low > 0 else -1 if high < 0 else 0


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
        record["stage"], record["label"], artifact.fingerprint, record["digest"][:16], inputs,
        record["identity"]["version"], record["identity"]["arguments"],
    )  # fmt: skip
