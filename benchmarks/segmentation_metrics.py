"""Challenge-mode scores against a plain loop of SimpleITK and OpenCV, and head circumference of 999 masks.

The plain loop is what one writes from the challenge's rules with the libraries' own filters, a picture at a time. Both
sides read the same files; every figure must agree to 1e-6. Rounds alternate, so that other load meets both.
"""

import argparse
import json
import math
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

import cv2
import numpy as np
import SimpleITK

from fulora.biometry.measurement_rows import HeadRow, head_row
from fulora.environment import cores
from fulora.intake.masks.file_names import case_name
from fulora.intake.masks.files import find_masks, map_cases, read_region
from fulora.intake.masks.value_mapping import find_mask_values
from fulora.intake.pixel_sizes import read_pixel_sizes
from fulora.metrics.psfhs_challenge import METRICS, score_pair

HEADS = 999
Figures = dict[str, dict[str, float]]
Clock = tuple[float, float]
"""Seconds of the wall and of the processor."""

T = TypeVar("T")


def main() -> None:
    """Run both sides and write the figures."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data-root", type=Path, required=True, help="holds psfhs_metric_fixture and hc18")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path(__file__).parent / "results" / "segmentation_metrics.json")
    given = parser.parse_args()
    fixture = given.data_root / "psfhs_metric_fixture"
    truths, ours = find_masks(fixture / "gt"), find_masks(fixture / "pred")
    sides: dict[str, Callable[[], Figures]] = {
        "plain": lambda: {case: _plain(ours[case], truths[case]) for case in truths},
        "fulora, 1 thread": lambda: _fulora(truths, ours, 1),
        f"fulora, {given.workers} threads": lambda: _fulora(truths, ours, given.workers),
    }
    figures: dict[str, Figures] = {}
    clocks: dict[str, list[Clock]] = {name: [] for name in sides}
    for _ in range(given.rounds):
        for name, side in sides.items():
            figures[name], clock = _timed(side)
            clocks[name].append(clock)
    measured = [_timed(lambda: _heads(given.data_root / "hc18", given.workers)) for _ in range(given.rounds)]
    result = {
        "machine": _machine(),
        "pairs": len(truths),
        "largest_difference": max(_difference(figures["plain"], figures[name]) for name in sides),
        "seconds": {name: _spread(found) for name, found in clocks.items()},
        "times_faster": {name: _faster(clocks["plain"], clocks[name]) for name in list(sides)[1:]},
        "heads": {
            "masks": len(measured[0][0]),
            "failed": sum(bool(row.failure) for row in measured[0][0]),
            "seconds": _spread([clock for _, clock in measured]),
        },
    }
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


def _timed(work: Callable[[], T]) -> tuple[T, Clock]:
    wall, processor = time.perf_counter(), time.process_time()
    found = work()
    return found, (time.perf_counter() - wall, time.process_time() - processor)


def _spread(clocks: Sequence[Clock]) -> dict[str, list[float]]:
    """Median, least and most, of the wall and the processor, seconds."""
    columns = {"wall": [wall for wall, _ in clocks], "processor": [processor for _, processor in clocks]}
    return {
        name: [round(value, 3) for value in (statistics.median(some), min(some), max(some))]
        for name, some in columns.items()
    }


def _faster(plain: Sequence[Clock], ours: Sequence[Clock]) -> dict[str, float]:
    """The median over rounds of how many times faster, on the wall and on the processor."""
    ratios = [(a[0] / b[0], a[1] / b[1]) for a, b in zip(plain, ours, strict=True)]
    return {
        name: round(statistics.median(some), 2)
        for name, some in zip(("wall", "processor"), zip(*ratios, strict=True), strict=True)
    }


def _machine() -> dict[str, object]:
    libraries = {"opencv": cv2.__version__, "simpleitk": SimpleITK.Version.VersionString(), "numpy": np.__version__}
    return {"cores": cores(), "system": platform.machine(), "python": platform.python_version(), **libraries}


def _difference(one: Figures, other: Figures) -> float:
    return max(abs(one[case][name] - other[case][name]) for case in one for name in METRICS)


def _fulora(truths: dict[str, Path], ours: dict[str, Path], workers: int) -> Figures:
    values = find_mask_values({"truths": truths.values(), "ours": ours.values()}, workers=workers)

    def score(case: str, truth: Path) -> dict[str, float]:
        found = score_pair(values.read(ours[case]), values.read(truth))
        return {name: getattr(found, name) for name in METRICS}

    return dict(zip(truths, map_cases(truths, score, workers), strict=True))


def _heads(folder: Path, workers: int) -> list[HeadRow]:
    """999 head measurements: those masks that are there, again and again."""
    found, sizes = find_masks(folder / "training_set"), read_pixel_sizes(folder / "training_set_pixel_size_and_HC.csv")
    paths = list(found.values())
    files = {f"{number}": paths[number % len(paths)] for number in range(HEADS)}

    values = find_mask_values({"heads": files.values()}, workers=workers)

    def measure(case: str, path: Path) -> HeadRow:
        return head_row(path.name, read_region(path, values), sizes[case_name(path)].mm)

    return list(map_cases(files, measure, workers))


def _plain(prediction: Path, truth: Path) -> dict[str, float]:
    pair = [SimpleITK.GetArrayFromImage(SimpleITK.ReadImage(str(path))) for path in (prediction, truth)]
    figures = {"aop": abs(_plain_angle(pair[0]) - _plain_angle(pair[1]))}
    for name, chosen in (("ps", (1,)), ("fh", (2,)), ("all", (1, 2))):
        a, b = (np.isin(labels, chosen).astype(np.uint8) for labels in pair)
        if not a.any():
            figures |= {f"dice_{name}": 0.0, f"hd_{name}": 100.0, f"asd_{name}": 100.0}
            continue
        figures[f"dice_{name}"] = (2 * float((a * b).sum()) + 1) / (float(a.sum()) + float(b.sum()) + 1)
        images = [SimpleITK.GetImageFromArray(mask) for mask in (a, b)]
        hausdorff = SimpleITK.HausdorffDistanceImageFilter()
        hausdorff.Execute(*images)
        figures[f"hd_{name}"] = hausdorff.GetHausdorffDistance()
        maps = [
            np.abs(SimpleITK.GetArrayFromImage(SimpleITK.SignedMaurerDistanceMap(image, squaredDistance=False)))
            for image in images
        ]
        edges = [distances == 0 for distances in maps]
        sums = [np.where(edge, other, np.float32(0)).sum() for edge, other in zip(edges, maps[::-1], strict=True)]
        figures[f"asd_{name}"] = float((sums[1] + sums[0]) / np.float32(edges[0].sum() + edges[1].sum()))
    return figures


def _plain_angle(labels: np.ndarray) -> float:
    """The challenge's angle by the slope of the tangent in the frame of the head's ellipse."""
    ellipses = []
    for label in (1, 2):
        contours, _ = cv2.findContours((labels == label).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
        if not contours:
            return 0.0
        outline = cv2.approxPolyDP(max(contours, key=len), 1, True)
        if len(outline) < 6:
            return 0.0
        ellipses.append(cv2.fitEllipse(outline))
    (sx, sy), (_, length), s_turn = ellipses[0]
    (hx, hy), (minor, major), h_turn = ellipses[1]
    s_angle, h_angle = (s_turn - 90) * 0.01745, math.radians(h_turn - 90)
    dx, dy = length / 2 * math.cos(s_angle), length / 2 * math.sin(s_angle)
    a, b, px, py = major / 2, minor / 2, sx + dx - hx, sy + dy - hy
    x, y = px * math.cos(h_angle) + py * math.sin(h_angle), py * math.cos(h_angle) - px * math.sin(h_angle)
    root = b * b * x * x + a * a * y * y - a * a * b * b
    slope = (x * y - math.sqrt(root)) / (x * x - a * a) if root >= 0 else 0.0
    offset = y - slope * x
    tx = -slope * offset * a * a / (b * b + slope * slope * a * a)
    ty = slope * tx + offset
    kx, ky = (
        hx + tx * math.cos(h_angle) - ty * math.sin(h_angle),
        hy + tx * math.sin(h_angle) + ty * math.cos(h_angle),
    )
    ends = (sx - dx, sy - dy), (sx + dx, sy + dy)
    sides = math.dist(*ends), math.dist(ends[1], (kx, ky)), math.dist(ends[0], (kx, ky))
    cosine = (sides[0] ** 2 + sides[1] ** 2 - sides[2] ** 2) / (2 * sides[0] * sides[1])
    return math.degrees(math.acos(max(-1.0, min(1.0, cosine))))


if __name__ == "__main__":
    main()
