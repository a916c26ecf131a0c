"""Phantoms drawn a second on one core, by image size: five planes, batches of 100."""

import argparse
import json
import os
import platform
import time
from pathlib import Path

import cv2

from fulora.data.label_set import label_set
from fulora.intake.phantoms.scan import draw

PLANES = label_set("fetal_planes").names


def rate(size_px: int, count: int) -> dict[str, float]:
    """Images a second of CPU time and of wall time."""
    wall, cpu = time.perf_counter(), time.process_time()
    for plane in PLANES:
        draw(plane, range(count), site="A", size_px=size_px, seed=0)
    images = count * len(PLANES)
    return {
        "images": images,
        "per_cpu_second": round(images / (time.process_time() - cpu), 1),
        "per_second": round(images / (time.perf_counter() - wall), 1),
    }


def main() -> None:
    """Measure three sizes and write or print JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    sizes = {f"{size_px} px": rate(size_px, count) for size_px, count in ((64, 100), (128, 40), (256, 10))}
    machine = {"processor": platform.machine(), "cores": os.cpu_count(), "python": platform.python_version()}
    text = json.dumps({"machine": machine, "sizes": sizes}, indent=1)
    if arguments.out:
        arguments.out.write_text(text + "\n", encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
