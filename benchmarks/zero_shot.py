"""Embedding of images by a full-size ViT-B/32: fulora against a plain open_clip loop, speed and peak memory.

    OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 python benchmarks/zero_shot.py                           # 12,400 images
    OMP_NUM_THREADS=2 MKL_NUM_THREADS=2 python benchmarks/zero_shot.py --images 192 --repeats 5  # minutes on two cores

It writes benchmarks/results/zero_shot.json.

Both sides embed the same PNGs of an image set with the same random weights, each in a process of its own, in turn,
forwards and backwards; a ratio is of two runs of one turn. Clock and peak of memory run from the loaded network, after
one batch, until the last embedding.

- `plain`: open_clip's own transform, a torch DataLoader of two workers, batches of 64, as its documentation has it;
- `fulora`: what the stage `embed_images` does: pictures held against their digests, decoded in threads, a file written.

On a machine that others use too, the ratio of the processor's seconds (parent and workers) is the safer one.
`largest_difference` is of one number of a unit embedding between the sides. On a GPU `plain` runs under autocast in
fp16, as fulora does. The workers of `plain` take their memory beside the peak that is given, which is the parent's.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import torch
from clocked_run import peak_mb
from PIL import Image as Pil
from torch.utils.data import DataLoader, Dataset
from train_lora import machine

from fulora.clip.embed import image_directions
from fulora.clip.embedding_parts import join_parts
from fulora.clip.loading import load_clip
from fulora.clip.model import WEIGHTS, image_size_px, save_clip
from fulora.data.embeddings import Embeddings
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.intake.phantoms.scan import draw
from fulora.training.devices import pick_device

RESULT = Path(__file__).parent / "results" / "zero_shot.json"
HERE = Path(__file__).parent
FETAL = label_set("fetal_planes")
SIDES = ("plain", "fulora")
IMAGES, MODEL, CLIP = "images", "model.json", "clip"
DRAWN = 20
"""Different pictures of a plane; the others are these again."""
BATCH, WORKERS = 64, 2
Table = dict[str, Any]


def prepare(folder: Path, name: str, count: int, size_px: int) -> None:
    """Write the images, and a CLIP of open_clip's architecture with random weights."""
    torch.manual_seed(0)
    model = open_clip.create_model(name)
    config = {"model_cfg": open_clip.get_model_config(name)}
    save_clip(model, config | {"preprocess_cfg": model.visual.preprocess_cfg}, folder / CLIP, half=False)
    (folder / MODEL).write_text(json.dumps(name), encoding="utf-8")
    shown = {plane: draw(plane, range(DRAWN), site="A", size_px=size_px, seed=0).images for plane in FETAL.names}
    about = {"file_name": "", "split": "train", "origin": "real", "source": "phantoms", "site": "A"}
    about |= {"width": 0, "height": 0, "sha256": ""}
    names = [FETAL.names[number % len(FETAL.names)] for number in range(count)]
    pictures = (
        Picture(
            Image.model_validate(about | {"image_id": f"{n:06d}", "plane": plane, "patient": f"{n:06d}"}),
            shown[plane][n // len(FETAL.names) % DRAWN],
        )
        for n, plane in enumerate(names)
    )
    (folder / IMAGES).mkdir()
    ImageSet.write(folder / IMAGES, pictures, labels=FETAL)


class Files(Dataset[torch.Tensor]):
    """Pictures of a list of files, by open_clip's transform."""

    def __init__(self, paths: list[Path], transform: Any) -> None:
        self.paths, self.transform = paths, transform

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, place: int) -> torch.Tensor:
        pixels: torch.Tensor = self.transform(Pil.open(self.paths[place]))
        return pixels


def clocks() -> dict[str, float]:
    """Seconds of the wall's clock, and of the processor, workers that have ended included."""
    return {"wall": time.perf_counter(), "processor": sum(os.times()[:4])}


def since(start: dict[str, float]) -> dict[str, float]:
    """Seconds since then."""
    return {kind: now - start[kind] for kind, now in clocks().items()}


def peak_from_here(device: torch.device) -> None:
    """Forget the peak of memory so far, that of loading."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats()
    elif Path("/proc/self/clear_refs").exists():
        Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")


@torch.no_grad()
def plain(folder: Path, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
    """Seconds and embeddings of the loop that one writes with open_clip."""
    name = json.loads((folder / MODEL).read_text(encoding="utf-8"))
    weights = str(folder / CLIP / WEIGHTS)
    model, _, transform = open_clip.create_model_and_transforms(name, pretrained=weights, device=device)
    model.eval()
    half = torch.autocast(device.type, torch.float16, enabled=device.type == "cuda")
    size = image_size_px(model)
    with half:
        model.encode_image(torch.zeros(BATCH, 3, size, size, device=device))
    images = ImageSet(folder / IMAGES, "")
    peak_from_here(device)
    start, found = clocks(), []
    paths = [images.path / row.split / row.file_name for row in images.rows()]
    loader = DataLoader(Files(paths, transform), BATCH, num_workers=WORKERS, pin_memory=device.type == "cuda")
    for pixels in loader:
        with half:
            found.append(model.encode_image(pixels.to(device, non_blocking=True), normalize=True).float().cpu())
    vectors = torch.cat(found).numpy()
    return since(start), vectors


def fulora(folder: Path, device: torch.device) -> tuple[dict[str, float], np.ndarray]:
    """Seconds and embeddings of what the stage `embed_images` does with a loaded CLIP."""
    images, out = ImageSet(folder / IMAGES, ""), folder / "embedded"
    out.mkdir(exist_ok=True)
    model = load_clip(folder / CLIP).on(device.type).model
    image_directions(model, BATCH, lambda number: np.zeros((9, 9), np.uint8))
    peak_from_here(device)
    start = clocks()
    join_parts(out, images, model)
    taken = since(start)
    return taken, Embeddings(out, "").of(images.rows())


def run(side: str, folder: Path, device: torch.device) -> Table:
    """What one side took, in this very process and its workers."""
    taken, vectors = {"plain": plain, "fulora": fulora}[side](folder, device)
    np.save(folder / f"{side}.npy", vectors)
    per_second = {f"images_per_second_{kind}": len(vectors) / seconds for kind, seconds in taken.items()}
    return {**per_second, "peak_mb": peak_mb()}


# --- started from outside


def started(side: str, folder: Path, device: str) -> Table:
    """What one side took, in a process of its own."""
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "PYTHONPATH": os.pathsep.join([str(HERE.parent), str(HERE)])}
    report = folder / "report.json"
    command = [
        sys.executable,
        str(HERE / "zero_shot.py"),
        "--side",
        side,
        "--folder",
        str(folder),
        "--out",
        str(report),
    ]
    done = subprocess.run([*command, "--device", device], capture_output=True, text=True, env=environment)
    if done.returncode:
        raise SystemExit(f"{side} failed:\n{done.stderr[-3000:]}")
    found: Table = json.loads(report.read_text(encoding="utf-8"))
    print(f"  {side}: {found['images_per_second_wall']:.2f} images/s", file=sys.stderr, flush=True)
    return found


def compare(folder: Path, device: str, repeats: int) -> Table:
    """Images a second and peak memory of both sides, and fulora's over the loop's, turn by turn."""
    found: dict[str, list[Table]] = {side: [] for side in SIDES}
    for turn in range(repeats):
        for side in SIDES if turn % 2 == 0 else SIDES[::-1]:
            found[side].append(started(side, folder, device))
    difference = np.abs(np.load(folder / "plain.npy") - np.load(folder / "fulora.npy")).max()
    turns = list(zip(found["fulora"], found["plain"], strict=True))
    ratios = {f"{key}, fulora / plain": spread([a[key] / b[key] for a, b in turns]) for key in found["plain"][0]}
    sides = {side: {key: spread([one[key] for one in runs]) for key in runs[0]} for side, runs in found.items()}
    return {"sides": sides, "ratios": ratios, "largest_difference": float(f"{difference:.2g}")}


def spread(values: list[float]) -> dict[str, float]:
    """Median, lowest, highest."""
    named = {"median": statistics.median(values), "min": min(values), "max": max(values)}
    return {name: float(f"{value:.4g}") for name, value in named.items()}


def main() -> None:
    """Measure both sides and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=12_400)
    parser.add_argument("--size-px", type=int, default=256, help="of the pictures")
    parser.add_argument("--model", default="ViT-B-32", help="open_clip's name of the architecture")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--side", choices=SIDES, help="measure one side in this very process, in --folder")
    parser.add_argument("--folder", type=Path)
    asked = parser.parse_args()
    device = pick_device(asked.device)
    if asked.side:
        asked.out.write_text(json.dumps(run(asked.side, asked.folder, device)), encoding="utf-8")
        return
    with tempfile.TemporaryDirectory() as name:
        prepare(Path(name), asked.model, asked.images, asked.size_px)
        result = {
            "command": " ".join(["python benchmarks/zero_shot.py", *(Path(word).name for word in sys.argv[1:])]),
            "machine": machine(),
            "load_before": round(os.getloadavg()[0], 2),
            "model": asked.model,
            "images": asked.images,
            "size_px": asked.size_px,
            "repeats": asked.repeats,
            **compare(Path(name), device.type, asked.repeats),
        }
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
