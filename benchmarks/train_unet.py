"""Training of a U-Net against a plain loop of segmentation_models_pytorch, side by side on real heads: images a second.

    OMP_NUM_THREADS=1 python benchmarks/train_unet.py --data-root FOLDER

The plain loop decodes every picture and mask of HC18 in every epoch, resizes and normalises each and takes them from a
torch DataLoader, as the papers' notebooks do; ours decodes once. Both then train the same MobileNetV2 U-Net with the
same loss on the same pictures, without augmentation, in turn. Times are the processor's, of this process.
"""

import argparse
import json
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import segmentation_models_pytorch as smp
import torch
from PIL import Image as Pil
from torch.utils.data import DataLoader, Dataset

from fulora.data.pictures.loaders import to_square
from fulora.environment import cores, versions
from fulora.intake.source_config import SourceInputs
from fulora.intake.sources.hc18 import Hc18Config
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.loss import segmentation_loss
from fulora.segmentation.train import Pairs, fit

RESULT = Path(__file__).parent / "results" / "train_unet.json"
BATCH = 8
Files = list[tuple[Path, Path]]


class PlainSet(Dataset[tuple[torch.Tensor, torch.Tensor]]):
    """A picture and its filled mask, decoded when asked for."""

    def __init__(self, files: Files, size_px: int):
        self.files, self.size_px = files, size_px

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, torch.Tensor]:
        image, outline = (cv2.imread(str(path), cv2.IMREAD_GRAYSCALE) for path in self.files[place])
        size = (self.size_px, self.size_px)
        image = cv2.resize(image, size, interpolation=cv2.INTER_AREA).astype(np.float32) / 127.5 - 1
        mask = cv2.resize(filled(outline), size, interpolation=cv2.INTER_NEAREST)
        return torch.from_numpy(np.stack([image] * 3)), torch.from_numpy(mask).long()


def filled(outline: np.ndarray) -> np.ndarray:
    """The head whose outline is drawn."""
    contours, _ = cv2.findContours((outline > 127).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    return cv2.drawContours(np.zeros_like(outline), contours, -1, 1, cv2.FILLED)


def plain(files: Files, size_px: int, epochs: int) -> None:
    """The plain loop."""
    torch.manual_seed(0)
    model = smp.Unet("mobilenet_v2", encoder_weights=None, classes=1)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3)
    for _ in range(epochs):
        for pixels, masks in DataLoader(PlainSet(files, size_px), BATCH, shuffle=True, drop_last=True):
            optimizer.zero_grad()
            segmentation_loss(model(pixels), masks).backward()
            optimizer.step()


def plain_loader(files: Files, size_px: int, epochs: int) -> None:
    """Every batch of the plain loop, and no training."""
    for _ in range(epochs):
        for _pixels, _masks in DataLoader(PlainSet(files, size_px), BATCH, shuffle=True, drop_last=True):
            pass


def load(files: Files, size_px: int) -> Pairs:
    """Ours: once."""
    images = [to_square(np.asarray(Pil.open(image).convert("L")), size_px, "squash") for image, _ in files]
    masks = [
        to_square(filled(np.asarray(Pil.open(path).convert("L"))), size_px, "squash", Pil.Resampling.NEAREST)
        for _, path in files
    ]
    return Pairs(np.stack(images), np.stack(masks))


def ours(files: Files, size_px: int, epochs: int) -> None:
    """What fulora trains, decoding and writing included."""
    steps = epochs * (len(files) // BATCH)
    cfg = UnetConfig(
        strategy="scratch",
        steps=steps,
        batch_size=BATCH,
        augmentation="none",
        image_size_px=size_px,
        fit="squash",
        schedule="constant",
        device="cpu",
        checkpoint_every=10**6,
    )
    with tempfile.TemporaryDirectory() as folder:
        fit(Path(folder), cfg, load(files, size_px))


def our_loader(files: Files, size_px: int, epochs: int) -> None:
    """Every batch of ours, and no training."""
    pairs = load(files, size_px)
    for _ in range(epochs):
        order = np.random.default_rng(0).permutation(len(files))
        for first in range(0, len(files) - BATCH + 1, BATCH):
            chosen = order[first : first + BATCH]
            torch.from_numpy(pairs.images[chosen]).float()
            torch.from_numpy(pairs.masks[chosen]).long()


def in_turn(sides: dict[str, Callable[[], None]], images: int, repeats: int) -> dict[str, object]:
    """Images a processor second of both sides, and the ratio of each turn."""
    speed: dict[str, list[float]] = {name: [] for name in sides}
    for _ in range(repeats):
        for name, work in sides.items():
            started = time.process_time()
            work()
            speed[name].append(images / (time.process_time() - started))
    ratios = [a / b for a, b in zip(speed["fulora"], speed["plain"], strict=True)]
    return {
        "images_per_s": {name: [round(value, 2) for value in values] for name, values in speed.items()},
        "faster": [round(value, 2) for value in (float(np.median(ratios)), min(ratios), max(ratios))],
    }


def main() -> None:
    """Measure and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data-root", type=Path, required=True, help="holds hc18")
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--images", type=int, default=40)
    parser.add_argument("--sizes-px", type=int, nargs="+", default=[64, 128])
    parser.add_argument("--epochs", type=int, default=3)
    parser.add_argument("--repeats", type=int, default=3)
    given = parser.parse_args()
    rows = list(Hc18Config().read(SourceInputs(given.data_root / "hc18")))[: given.images]
    files = [(row.path, row.mask_path) for row in rows if row.path and row.mask_path]
    torch.set_num_threads(1)
    result: dict[str, object] = {
        "command": "OMP_NUM_THREADS=1 python benchmarks/train_unet.py --data-root FOLDER",
        "machine": {"cores": cores(), "threads": 1, "system": platform.machine(), **versions()},
        "images": len(files),
        "epochs": given.epochs,
        "repeats": given.repeats,
        "faster": "median, least, most over turns",
    }
    for size in given.sizes_px:
        shown = given.epochs * (len(files) // BATCH) * BATCH
        result[f"{size} px"] = {
            "training": in_turn(
                {
                    "plain": lambda size=size: plain(files, size, given.epochs),  # type: ignore[misc]
                    "fulora": lambda size=size: ours(files, size, given.epochs),  # type: ignore[misc]
                },
                shown,
                given.repeats,
            ),
            "loader alone": in_turn(
                {
                    "plain": lambda size=size: plain_loader(files, size, given.epochs),  # type: ignore[misc]
                    "fulora": lambda size=size: our_loader(files, size, given.epochs),  # type: ignore[misc]
                },
                shown,
                given.repeats,
            ),
        }
    given.out.parent.mkdir(exist_ok=True, parents=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
