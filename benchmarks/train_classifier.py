"""Training of a classifier against FU-LoRA's notebook, side by side on real pictures: speed, and what both learn.

    OMP_NUM_THREADS=1 python benchmarks/train_classifier.py --data-root FOLDER

The notebook's side decodes every picture in every epoch with OpenCV, in colour, makes it a Pillow picture, transforms
it alone with torchvision and takes it from a torch DataLoader; ours decodes once and augments in batches. Both then
train the same MobileNetV2 on the same pictures by SGD, in turn. Times are the processor's.
"""

import argparse
import json
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import torch
import torchvision
from PIL import Image as Pil
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms

from fulora.classification.augment import augment
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import build_classifier, load_classifier
from fulora.classification.predict import predict, to_pixels
from fulora.classification.train import fit
from fulora.data.label_set import label_set
from fulora.data.pictures.loaders import to_square
from fulora.environment import cores, versions
from fulora.training.seeded_draws import seeded_generator

RESULT = Path(__file__).parent / "results" / "train_classifier.json"
BATCH = 24
FETAL = label_set("fetal_planes")
Labelled = list[tuple[Path, int]]


class NotebookSet(Dataset[tuple[torch.Tensor, int]]):
    """The notebook's data set (cell 25) with its `+DA` (cells 23 and 24)."""

    def __init__(self, pictures: Labelled, size_px: int):
        self.pictures = pictures
        self.transform = transforms.Compose(
            [
                transforms.Resize((size_px, size_px)),
                transforms.RandomRotation((-15, 15)),
                transforms.RandomResizedCrop(size_px),
                transforms.RandomHorizontalFlip(),
                transforms.ToTensor(),
                transforms.Normalize((0, 0, 0), (1, 1, 1)),
            ]
        )

    def __len__(self) -> int:
        return len(self.pictures)

    def __getitem__(self, place: int) -> tuple[torch.Tensor, int]:
        path, label = self.pictures[place]
        return self.transform(Pil.fromarray(cv2.imread(str(path), cv2.IMREAD_COLOR))), label


def labelled(folder: Path) -> Labelled:
    """Pictures of a folder with a folder a plane, or of African planes with their table."""
    tables = sorted(folder.glob("*.csv")) if (folder / "African_train.csv").is_file() else []
    if tables:
        found = {path.stem: path for path in folder.rglob("*.png")}
        lines = [line.split(",") for line in tables[0].read_text(encoding="utf-8-sig").splitlines()]
        name, plane = lines[0].index("Image_name"), lines[0].index("Plane")
        return [(found[line[name]], FETAL.names.index(line[plane].split()[-1].lower())) for line in lines[1:]]
    return [(path, FETAL.names.index(path.parent.name.lower())) for path in sorted(folder.rglob("*.png"))]


def load(pictures: Labelled, size_px: int) -> np.ndarray:
    """Our loader: once, gray, squashed as the notebook does."""
    return np.stack([to_square(np.asarray(Pil.open(path).convert("L")), size_px, "squash") for path, _ in pictures])


def config(size_px: int, epochs: int, precision: str) -> ClassifierConfig:
    """The notebook's training with random weights."""
    return ClassifierConfig.model_validate(
        {
            "architecture": "mobilenet_v2",
            "stem": "imagenet",
            "image_size_px": size_px,
            "fit": "squash",
            "statistics": "none",
            "steps": None,
            "epochs": epochs,
            "batch_size": BATCH,
            "optimizer": "sgd",
            "weight_decay": 0.0,
            "schedule": "constant",
            "warmup_steps": 0,
            "augmentation": "fu_lora",
            "balanced": False,
            "select": "last",
            "precision": precision,
            "device": "cpu",
            "checkpoint_every": 10**6,
        }
    )


def notebook(pictures: Labelled, size_px: int, epochs: int) -> torch.nn.Module:
    """What the notebook trains."""
    torch.manual_seed(0)
    model = torchvision.models.mobilenet_v2(weights=None)
    model.classifier[1] = torch.nn.Linear(model.classifier[1].in_features, len(FETAL.names))
    start = build_classifier(config(size_px, 1, "fp32"), len(FETAL.names))  # the same as ours
    model.load_state_dict(start.network.state_dict())
    optimizer = torch.optim.SGD(model.parameters(), lr=1e-3, momentum=0.9)
    loader = DataLoader(NotebookSet(pictures, size_px), BATCH, shuffle=True)
    for _ in range(epochs):
        for pixels, labels in loader:
            optimizer.zero_grad()
            torch.nn.functional.cross_entropy(model(pixels), labels).backward()
            optimizer.step()
    return model


def ours(folder: Path, pictures: Labelled, size_px: int, epochs: int, precision: str) -> None:
    """What fulora trains, decoding included."""
    labels = np.array([label for _, label in pictures])
    images = load(pictures, size_px)
    marks, nothing = np.zeros(len(labels), bool), (images[:0], labels[:0])
    fit(folder, config(size_px, epochs, precision), FETAL, images, labels, marks, nothing)


def notebook_loader(pictures: Labelled, size_px: int, epochs: int) -> None:
    """Every batch of so many epochs, and no training."""
    for _ in range(epochs):
        for _pixels, _labels in DataLoader(NotebookSet(pictures, size_px), BATCH, shuffle=True):
            pass


def our_loader(pictures: Labelled, size_px: int, epochs: int) -> None:
    """The same of ours."""
    images = load(pictures, size_px)
    for epoch in range(epochs):
        order = torch.randperm(len(images), generator=seeded_generator("order", epoch)).numpy()
        for first in range(0, len(images), BATCH):
            chosen = to_pixels(images[order[first : first + BATCH]])
            augment(chosen, "fu_lora", seeded_generator("augment", epoch, first))


def in_turn(sides: dict[str, Callable[[], object]], repeats: int) -> dict[str, object]:
    """Processor seconds of every side, in turn, and how many times faster than the first each is."""
    seconds: dict[str, list[float]] = {side: [] for side in sides}
    for _ in range(repeats):
        for side, work in sides.items():
            started = time.process_time()
            work()
            seconds[side].append(time.process_time() - started)
    first, *others = sides
    ratios = {
        side: [a / b for a, b in zip(seconds[first], seconds[side], strict=True)] for side in others
    }  # one a repeat
    spread = {side: [min(r), statistics.median(r), max(r)] for side, r in ratios.items()}
    return {
        "seconds": {side: [round(value, 3) for value in taken] for side, taken in seconds.items()},
        "faster_min_median_max": {side: [round(value, 2) for value in values] for side, values in spread.items()},
    }


@torch.no_grad()
def learnt(train: Labelled, test: Labelled, size_px: int, epochs: int, home: Path) -> dict[str, float]:
    """Accuracy of both sides on other pictures."""
    labels, images = np.array([label for _, label in test]), load(test, size_px)
    with torch.enable_grad():
        theirs = notebook(train, size_px, epochs).eval()
        ours(home / "learnt", train, size_px, epochs, "fp32")
    pixels = to_pixels(images).expand(-1, 3, -1, -1).split(BATCH)
    guesses = {
        "notebook": torch.cat([theirs(part).argmax(1) for part in pixels]).numpy(),
        "fulora": predict(load_classifier(home / "learnt"), images).argmax(1),
    }
    return {side: round(float((labels == guess).mean()), 4) for side, guess in guesses.items()}


def main() -> None:
    """Measure all and write the result."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--data-root", type=Path, required=True, help="holds fetal_planes_lora and african/african_train"
    )
    parser.add_argument("--out", type=Path, default=RESULT)
    parser.add_argument("--size-px", type=int, default=224)
    parser.add_argument(
        "--epochs", type=int, default=1, help="of each timed training; of the loaders five times as many"
    )
    parser.add_argument("--learn-epochs", type=int, default=0, help="of the trainings whose accuracy is taken; 0: none")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--precision", nargs="*", default=["fp32"], choices=["fp32", "bf16"])
    parser.add_argument("--quick", action="store_true", help="24 pictures, 64 px, once: only to see that it runs")
    given = parser.parse_args()
    train = labelled(given.data_root / "fetal_planes_lora")
    test = labelled(given.data_root / "african" / "african_train")
    if given.quick:
        train, test = train[:: max(1, len(train) // BATCH)][:BATCH], test[:BATCH]
        given.size_px, given.epochs, given.repeats = 64, 1, 1
    size, epochs = given.size_px, given.epochs
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        home = Path(name)
        number = iter(range(10**6))

        def side(precision: str) -> Callable[[], None]:
            return lambda: ours(home / str(next(number)), train, size, epochs, precision)

        sides = {f"fulora {precision}": side(precision) for precision in given.precision}
        result = {
            "command": "OMP_NUM_THREADS=1 python benchmarks/train_classifier.py --data-root FOLDER",
            "machine": {"cores": cores(), "threads": 1, "system": platform.machine(), **versions()},
            "capability": torch.backends.cpu.get_cpu_capability(),
            "pictures": len(train),
            "size_px": size,
            "epochs": epochs,
            "loader_epochs": 5 * epochs,
            "loader": in_turn(
                {
                    "notebook": lambda: notebook_loader(train, size, 5 * epochs),
                    "fulora": lambda: our_loader(train, size, 5 * epochs),
                },
                given.repeats,
            ),
            "training": in_turn({"notebook": lambda: notebook(train, size, epochs)} | sides, given.repeats),
            "accuracy_after": given.learn_epochs,
            "accuracy": learnt(train, test, size, given.learn_epochs, home) if given.learn_epochs else None,
        }
    given.out.parent.mkdir(exist_ok=True, parents=True)
    given.out.write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(result, indent=1))


if __name__ == "__main__":
    main()
