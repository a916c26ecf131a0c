"""Memory does not grow with the number of images: peaks of a process that generates large pictures, few and many."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from unittest import mock

import generation_run
import numpy as np
import pytest

from fulora import progress
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest

pytestmark = pytest.mark.slow

SETTINGS = {"planes": ("brain",), "image_size_px": 512, "colour": "rgb", "batch_size": 4, "shard_batches": 3}
FEW, MANY = 12, 60


def noise(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
    seeds = [[request.index, request.attempt] for request in requests]
    pixels = [np.random.default_rng(seed).integers(0, 256, (512, 512, 3), np.uint8) for seed in seeds]
    return [
        GeneratedImage(request, 0, "dpm++", array, True, None) for request, array in zip(requests, pixels, strict=True)
    ]


def report_peaks(backbone: Path, folder: Path, peaks: Connection) -> None:
    """Generate few images twice, because the first set loads code too, then many; send the peak in kB after each."""
    progress.show(False)
    with mock.patch.object(ImageGenerator, "generate", noise):
        for name, count in (("first", FEW), ("few", FEW), ("many", MANY)):
            generation_run.drawn(backbone, folder / name, per_class=count, **SETTINGS)
            lines = Path("/proc/self/status").read_text().splitlines()
            peaks.send(int(next(line for line in lines if line.startswith("VmHWM")).split()[1]))


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
def test_five_times_the_images_take_no_more_memory(tmp_path: Path, backbone: Path) -> None:
    """The arithmetic, whose memory is that of a batch, is left out: pictures are noise of 0.8 MB each."""
    processes = multiprocessing.get_context("forkserver")
    processes.set_forkserver_preload(["fulora.diffusion.sets.generation", "generation_run"])
    receiver, sender = processes.Pipe(duplex=False)
    process = processes.Process(target=report_peaks, args=(backbone, tmp_path, sender))
    process.start()
    process.join(300)
    assert process.exitcode == 0
    _, few_kb, many_kb = (receiver.recv() for _ in range(3))
    for name, count in (("few", FEW), ("many", MANY)):
        assert len(list((tmp_path / name).glob("train/images/*/*.png"))) == count
    kept_kb = (MANY - FEW) * 512 * 512 * 3 // 1024  # 37 MB, if pictures were kept
    assert many_kb - few_kb < 0.1 * kept_kb, (few_kb, many_kb)
