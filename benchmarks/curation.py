"""Curation against a plain Pillow loop, its memory, and a manifest of a million rows.

    python benchmarks/curation.py            # about 3 minutes; writes benchmarks/results/curation.json

Both sides read the same 800 x 540 PNGs and write 256 x 256 letterboxed gray PNGs, in turn, five times each. The loop
does nothing else; fulora also checks, hashes, splits, marks and writes the manifest. Each memory figure is the peak
resident size of a process of its own.
"""

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image as Pil
from PIL import ImageOps

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.set_leaks import Ledger
from fulora.environment import cores, peak_resident, versions
from fulora.intake.config import CurateConfig
from fulora.intake.curate.curate import Curation
from fulora.intake.phantoms.scan import draw
from fulora.intake.source_config import SourceInputs

PLANES = label_set("fetal_planes").names

RESULT = Path(__file__).parent / "results" / "curation.json"
SIZE_PX = 256


def make_pictures(folder: Path, count: int) -> None:
    """`count` pictures of 800 x 540, ten of them different, an image a patient."""
    drawn = draw("brain", range(10), site="A", size_px=512, seed=0).images
    (folder / "brain").mkdir(parents=True)
    for number in range(10):
        screen = np.zeros((540, 800), np.uint8)
        screen[14:526, 144:656] = drawn[number]
        Pil.fromarray(screen).save(folder / "brain" / f"P{number}.png")
    for number in range(10, count):
        shutil.copy(folder / "brain" / f"P{number % 10}.png", folder / "brain" / f"P{number}.png")


def pillow_loop(folder: Path, out: Path) -> None:
    """What most people write."""
    (out / "brain").mkdir(parents=True)
    for path in sorted(folder.rglob("*.png")):
        with Pil.open(path) as image:
            ImageOps.pad(image.convert("L"), (SIZE_PX, SIZE_PX)).save(out / "brain" / path.name)


def curate(folder: Path, out: Path, deidentify: str) -> None:
    """The library's part of the stage."""
    source = {"kind": "class_folders", "folder": "x", "patient_pattern": r"P(\d+)"}
    values = {"sources": [source], "image_size_px": SIZE_PX, "deidentify": deidentify}
    ImageSet.write(
        out,
        Curation(CurateConfig.model_validate(values), [SourceInputs(folder)]).pictures(),
        labels=label_set("fetal_planes"),
    )


def speed(count: int, repeats: int) -> dict[str, object]:
    """Images a second of each side, and the ratio of their medians."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        make_pictures(folder / "in", count)
        sides = {
            "pillow_loop": lambda out: pillow_loop(folder / "in", out),
            "fulora_nothing_removed": lambda out: curate(folder / "in", out, "nothing"),
            "fulora_text_removed": lambda out: curate(folder / "in", out, "outside"),
        }
        seconds: dict[str, list[float]] = {side: [] for side in sides}
        for turn in range(repeats):
            for side, run in sides.items():
                started = time.perf_counter()
                run(folder / f"{side}{turn}")
                seconds[side].append(time.perf_counter() - started)
                shutil.rmtree(folder / f"{side}{turn}")
    rates = {side: count / statistics.median(taken) for side, taken in seconds.items()}
    ratios = {f"{side} / pillow_loop": round(rate / rates["pillow_loop"], 2) for side, rate in rates.items()}
    spread = {
        side: [round(count / value, 1) for value in sorted(taken, reverse=True)] for side, taken in seconds.items()
    }
    return {"images": count, "repeats": repeats, "images_per_second": spread, "ratio_of_medians": ratios}


def in_own_process(*arguments: str) -> dict[str, float]:
    """What a part of this file prints, run alone."""
    command = [sys.executable, __file__, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | {"PYTHONPATH": "."})
    found: dict[str, float] = json.loads(done.stdout)
    return found


def memory_of_curation(count: int) -> dict[str, float]:
    """Peak resident size while `count` pictures are curated."""
    with tempfile.TemporaryDirectory() as name:
        make_pictures(Path(name) / "in", count)
        curate(Path(name) / "in", Path(name) / "out", "outside")
    return {"images": count, "peak_mb": peak_mb()}


def manifest(count: int) -> dict[str, float]:
    """Seconds to read and check a manifest of `count` rows, and the peak resident size."""
    with tempfile.TemporaryDirectory() as name:
        path = Path(name) / "train"
        path.mkdir()
        with (path / "metadata.jsonl").open("w", encoding="utf-8") as file:
            for number in range(count):
                file.write(json.dumps(_row(number).to_json()) + "\n")
        before, started = peak_mb(), time.perf_counter()
        ledger = Ledger()
        for row in ImageSet(Path(name), "").iter_rows():
            ledger.add(row)
        assert not ledger.breaches()
        seconds = time.perf_counter() - started
    return {
        "rows": count,
        "seconds": round(seconds, 1),
        "rows_per_second": round(count / seconds),
        "peak_mb": peak_mb(),
        "before_mb": before,
    }


def _row(number: int) -> Image:
    return Image(
        file_name=f"images/x_{number:07d}.png",
        image_id=f"x_{number:07d}",
        plane=PLANES[number % 5],
        split="train",
        origin="real",
        source="x",
        site="A",
        patient=str(number // 7),
        width=256,
        height=256,
        sha256=f"{number:064x}",
    )


def peak_mb() -> float:
    """Peak resident size of this process alone."""
    return round(peak_resident() / 2**20, 1)


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("part", nargs="?", choices=["memory", "manifest"], help="one part alone, for its own process")
    parser.add_argument("count", nargs="?", type=int, default=0)
    given = parser.parse_args()
    if given.part:
        print(json.dumps({"memory": memory_of_curation, "manifest": manifest}[given.part](given.count)))
        return
    result = {
        "command": "python benchmarks/curation.py",
        "machine": {"cores": cores(), "system": platform.machine(), **versions()},
        "speed": speed(400, 5),
        "memory": [in_own_process("memory", str(count)) for count in (200, 2000)],
        "manifest": [in_own_process("manifest", str(count)) for count in (100_000, 1_000_000)],
    }
    RESULT.parent.mkdir(exist_ok=True)
    RESULT.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
