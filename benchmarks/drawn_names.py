"""How many names drawn at the sector's edge and on tissue de-identification removes, and how much anatomy that costs.

Names stand at eight places of a picture: left, right, above and below, each on the edge of the sector and on tissue;
white or gray, with or without a dark outline, of several fonts and heights (2 to 6 % of the picture's). Half of the
pictures are compressed as JPEG. A name counts as gone when 90 % of its pixels or more are removed. The thresholds of
the text detector were chosen on even-numbered patients (`--half even`); the figures to quote are the odd-numbered ones.
"""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import cv2
import numpy as np
from deidentify import READERS, compressed, stamp

from fulora.intake.deidentify.burned_in_text import remove_overlays
from fulora.intake.deidentify.text_detection import find_words, installed_detector
from fulora.intake.raw_image import RawImage
from fulora.metrics.statistics import cluster_bootstrap, wilson

NAMES = (
    "DOE^JANE",
    "Smith, Mary",
    "GARCIA LOPEZ ANA",
    "Diallo M.",
    "O'Brien K.",
    "NGUYEN THI LAN",
    "Okafor, Chi",
    "MRN 4711-08",
    "M. Schmidt 12.03.1989",
    "SOTO",
)
SIDES = {"left": (-1, 0), "right": (1, 0), "above": (0, -1), "below": (0, 1)}
PLACES = {f"{depth}, {side}": (way, side) for depth, way in (("edge", 1.0), ("tissue", 0.45)) for side in SIDES}
METHODS = ("outside", "everywhere", "outside + words", "everywhere + words")
GONE = 0.9


def place(sector: np.ndarray, way: float, side: str) -> tuple[float, float]:
    """The point (x, y) at a share of the way from the sector's middle to its edge."""
    ys, xs = np.nonzero(sector)
    x, y = float(xs.mean()), float(ys.mean())
    (dx, dy), length = SIDES[side], 0
    while (
        0 <= (row := int(y + dy * length)) < sector.shape[0]
        and 0 <= (column := int(x + dx * length)) < sector.shape[1]
        and sector[row, column]
    ):
        length += 1
    return x + dx * way * length, y + dy * way * length


def with_name(picture: np.ndarray, at: tuple[float, float], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The picture with a name whose middle is at a point, or as near as it fits; and where its letters are seen."""
    text = stamp(NAMES[rng.integers(len(NAMES))], rng, max(9.0, picture.shape[0] * rng.uniform(0.02, 0.06)))
    if text.shape[1] > picture.shape[1]:
        text = cv2.resize(text, (picture.shape[1], max(8, text.shape[0] * picture.shape[1] // text.shape[1])))
    tall, wide = text.shape
    y = int(np.clip(at[1] - tall / 2, 0, picture.shape[0] - tall))
    x = int(np.clip(at[0] - wide / 2, 0, picture.shape[1] - wide))
    cover = np.zeros(picture.shape, np.float32)
    cover[y : y + tall, x : x + wide] = text / 255
    level, out = float(rng.choice([255, 230, rng.uniform(140, 220)])), picture.astype(np.float32)
    if rng.random() < 0.3:
        out *= 1 - cv2.dilate(cover, np.ones((3, 3), np.uint8))
    drawn = np.rint(out * (1 - cover) + level * cover).astype(np.uint8)
    return drawn, (np.abs(drawn.astype(int) - picture) > 16) & (cover > 0.3)


def removed(picture: np.ndarray, words: bool) -> dict[str, np.ndarray]:
    """Where each method removes something."""
    out = {}
    found = find_words(picture) if words else None
    for where in METHODS[:2]:
        result = remove_overlays(picture, where)
        out[where] = ~result.sector | result.inside
        if found is not None:
            out[f"{where} + words"] = out[where] | found
    return out


def measure(items: list[RawImage], words: bool, seed: str) -> tuple[list[dict[str, object]], list[dict[str, object]]]:
    """A row a drawn name, and a row a picture with labelled anatomy."""
    names: list[dict[str, object]] = []
    anatomy: list[dict[str, object]] = []
    for number, item in enumerate(items):
        picture, mask = item.load()
        sector, rng = remove_overlays(picture).sector, np.random.default_rng([number, *seed.encode()])
        for name, (way, side) in PLACES.items():
            drawn, seen = with_name(picture, place(sector, way, side), rng)
            if seen.sum() < 20:
                continue
            rows = removed(compressed(drawn, rng), words)
            shares = {method: float(where[seen].mean()) for method, where in rows.items()}
            names.append({"patient": f"{item.site}/{item.patient}", "place": name, **shares})
        if mask is not None and mask.any():
            lost = {method: float(where[mask > 0].mean()) for method, where in removed(picture, words).items()}
            anatomy.append({"patient": f"{item.site}/{item.patient}", **lost})
    return names, anatomy


def recall(rows: list[dict[str, object]], method: str) -> dict[str, object]:
    """Share of a name's pixels removed (mean, interval over patients), and share of names that are gone."""
    each = np.array([row[method] for row in rows])
    clusters = np.array([row["patient"] for row in rows])
    mean = cluster_bootstrap(lambda i: float(each[i].mean()), clusters, seed=0)
    gone = wilson(int((each >= GONE).sum()), len(each))
    found = {"n": len(each), "patients": len(set(clusters.tolist()))}
    figures = {"pixels": mean.value, "low": mean.low, "high": mean.high, "gone": gone.value, "gone_low": gone.low}
    places = {name: [row[method] >= GONE for row in rows if row["place"] == name] for name in PLACES}
    return (
        found
        | {key: None if v is None else round(float(v), 4) for key, v in figures.items()}
        | {
            "gone_high": None if gone.high is None else round(gone.high, 4),
            "gone_by_place": {name: [sum(hits), len(hits)] for name, hits in places.items()},
        }
    )


def lost(rows: list[dict[str, object]], method: str) -> dict[str, object]:
    """Share of the labelled anatomy that is removed where nothing was drawn."""
    each = np.array([row[method] for row in rows])
    return {
        "n": len(each),
        "mean": round(float(each.mean()), 5),
        "worst": round(float(each.max()), 5),
        "above_1_percent": int((each > 0.01).sum()),
    }


def main() -> None:
    """Measure, print a table and write JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--half", choices=("even", "odd"), default="odd")
    parser.add_argument("--data-root", type=Path, required=True, help="folder of the real sets")
    parser.add_argument("--most", type=int, default=60, help="pictures a set, at most")
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    half, words, started = int(arguments.half == "odd"), bool(installed_detector()), time.time()
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    results: dict[str, object] = {
        "machine": machine,
        "half": arguments.half,
        "text_detector": installed_detector() or "none",
    }
    for name, read in READERS.items():
        items = [item for item in read(arguments.data_root) if int(item.patient) % 2 == half]
        names, anatomy = measure(items[:: max(1, -(-len(items) // arguments.most))], words, name)
        block: dict[str, dict[str, object]] = {}
        for method in METHODS if words else METHODS[:2]:
            block[method] = {"names": recall(names, method)} | (
                {"anatomy_lost": lost(anatomy, method)} if anatomy else {}
            )
            print(name, method, json.dumps(block[method]), f"{time.time() - started:.0f} s", flush=True)
        results[name] = block
    if arguments.out:
        arguments.out.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
