"""Memory does not grow with the number of images: peaks of processes that draw large pictures, few and many."""

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

PEAK = """
import sys
from pathlib import Path
sys.path.insert(0, str(Path(sys.argv[1])))
import numpy as np
from generation_run import drawn
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator

def noise(self, requests):
    shape = (512, 512, 3)
    seeds = [[request.index, request.attempt] for request in requests]
    pixels = [np.random.default_rng(seed).integers(0, 256, shape, np.uint8) for seed in seeds]
    return [GeneratedImage(request, 0, "dpm++", array, True, None) for request, array in zip(requests, pixels)]

ImageGenerator.generate = noise
drawn(Path(sys.argv[2]), Path(sys.argv[3]), per_class=int(sys.argv[4]), planes=("brain",), image_size_px=512,
      colour="rgb", batch_size=4, shard_batches=3)
lines = Path("/proc/self/status").read_text().splitlines()
print(next(line for line in lines if line.startswith("VmHWM")).split()[1])
"""
FEW, MANY = 24, 96


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="only Linux tells the peak of a process")
def test_four_times_the_images_take_no_more_memory(tmp_path: Path, backbone: Path) -> None:
    """The arithmetic, whose memory is that of a batch, is left out: pictures are noise of 0.8 MB each."""
    peak_kb = {}
    for count in (FEW, MANY):
        command = [sys.executable, "-c", PEAK, str(Path(__file__).parent), str(backbone), str(tmp_path / str(count))]
        done = subprocess.run([*command, str(count)], capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stderr
        peak_kb[count] = int(done.stdout.split()[-1])
        assert len(list((tmp_path / str(count)).glob("train/images/*/*.png"))) == count
    kept_kb = (MANY - FEW) * 512 * 512 * 3 // 1024  # 55 MB, if pictures were kept
    assert peak_kb[MANY] - peak_kb[FEW] < 0.1 * kept_kb, peak_kb
