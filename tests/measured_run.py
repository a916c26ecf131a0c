"""A command of `fulora` in a process of its own, with its time and its peak memory.

    python tests/measured_run.py REPORT.json generate --backbone FOLDER ...
    python tests/measured_run.py REPORT.json load BACKBONE bf16
    python tests/measured_run.py REPORT.json embed CLIP IMAGES

`load` and `embed` are the parts of commands that read a backbone, and that embed the pictures of an image set.
Seconds are of the wall clock and of the processor; `peak_mb` is resident, the mapped pages of files included, and
`start_mb` what Python and its libraries take.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path

from fulora.environment import peak_resident

Facts = dict[str, float]


def load(source: str, precision: str) -> Callable[[], Facts]:
    """Load a backbone with its UNet in a precision; tells the size of the weights in memory."""
    from fulora.diffusion.models.loading import load_backbone, networks
    from fulora.diffusion.training.learner import PRECISIONS

    def run() -> Facts:
        pipe = load_backbone(Path(source), unet_dtype=PRECISIONS[precision])
        return {"weights_mb": sum(weight.nbytes for network in networks(pipe) for weight in network.parameters()) / 1e6}

    return run


def embed(clip: str, images: str) -> Callable[[], Facts]:
    """Embed the pictures of an image set; tells how many."""
    from fulora.clip.embed import image_directions
    from fulora.clip.loading import load_clip
    from fulora.data.image_set import ImageSet

    def run() -> Facts:
        opened = ImageSet(Path(images), "")
        rows = opened.rows()
        model = load_clip(clip).model
        begun = time.perf_counter()
        directions = image_directions(model, len(rows), lambda number: opened.pixels(rows[number]))
        assert directions.isfinite().all()
        return {"images": len(rows), "images_per_s": len(rows) / (time.perf_counter() - begun)}

    return run


def command(*arguments: str) -> Callable[[], Facts]:
    """A command of `fulora`."""
    from pipelines.__main__ import main

    def run() -> Facts:
        sys.argv = ["fulora", *arguments]
        try:
            main()
        except SystemExit as ended:
            if ended.code:
                raise
        return {}

    return run


if __name__ == "__main__":
    report, name, *given = sys.argv[1:]
    run = {"load": load, "embed": embed}[name](*given) if name in ("load", "embed") else command(name, *given)
    start, wall, processor = peak_resident(), time.perf_counter(), time.process_time()
    facts = run()
    facts |= {"seconds": time.perf_counter() - wall, "processor_s": time.process_time() - processor}
    facts |= {"start_mb": start / 1e6, "peak_mb": peak_resident() / 1e6}
    Path(report).write_text(json.dumps({key: round(value, 2) for key, value in facts.items()}), encoding="utf-8")
