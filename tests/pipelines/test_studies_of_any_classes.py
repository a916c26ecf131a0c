"""Whole studies on classes of users: six of a published list, brain planes, two, and thirty made-up ones.

Each asks a CLIP by the user's own prompts, transfers classifiers, asks judges, and ends in a report. The pictures are
drawn here (a grating whose direction and width tell the class), so that any number of classes can be distinguished.
"""

import csv
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from command_line import fulora
from PIL import Image as Pil
from scipy.ndimage import gaussian_filter

from fulora.data.image_set import ImageSet

pytestmark = pytest.mark.slow

SIDE = 64
PER_CLASS = {"train": 4, "validation": 1, "test": 2}
"""Images of each class in each split, two of each patient where there are two."""

BRIEF: dict[str, Any] = {
    "study": "fu_lora",
    "backbone": {"kind": "demo"},
    "lora": {"rank": 2, "alpha": 2, "steps": 2, "batch_size": 16},
    "generate": {"per_class": 2, "steps": 2, "batch_size": 10},
    "mix": {"ratio": 0.5, "too_few": "repeat"},
    "classifier": {
        "architecture": "mobilenet_v2",
        "image_size_px": 32,
        "steps": 4,
        "batch_size": 4,
        "evaluate_every": 2,
    },
    "classifier_seeds": [0],
    "judge": {"folds": 2},
    "assess": {"pairs": 4, "draws": 100},
    "score": {"draws": 100, "permutations": 100},
    "report": {"title": "a study of any classes", "about": "Gratings.", "images_per_row": 2},
}


def grating(number: int, patient: int, image: int) -> np.ndarray:
    """A picture of class `number`: its direction and width are the class's, its phase and texture the image's."""
    random = np.random.default_rng((number, patient, image))
    y, x = np.mgrid[:SIDE, :SIDE]
    angle, waves = np.pi * (number % 8) / 8, 2 + 2 * (number // 8)
    phase = random.uniform(0, 2 * np.pi)
    wave = np.sin(2 * np.pi * waves * (x * np.cos(angle) + y * np.sin(angle)) / SIDE + phase)
    texture = gaussian_filter(random.normal(0, 1, wave.shape), 3)
    return np.clip(128 + 40 * wave + 45 * texture / texture.std(), 0, 255).astype(np.uint8)


def class_folders(folder: Path, classes: Sequence[str], count: int, first_patient: int) -> None:
    """One folder a class, `P<patient>_<image>.png` in it, two images of each patient."""
    for number, name in enumerate(classes):
        (folder / name).mkdir(parents=True)
        for image in range(count):
            patient = first_patient + 1000 * number + image // 2
            Pil.fromarray(grating(number, patient, image)).save(folder / name / f"P{patient}_{image}.png")


def own_folders(root: Path, classes: Sequence[str], per_class: Mapping[str, int] = PER_CLASS) -> list[dict[str, Any]]:
    """Folders of three splits, and the sources that read them."""
    sources = []
    for place, (split, count) in enumerate(per_class.items()):
        class_folders(root / split, classes, count, 100 * place)
        sources.append(
            {
                "kind": "class_folders",
                "folder": split,
                "role": split,
                "patient_pattern": r"P(\d+)_",
                "site": "B" if split == "test" else "A",
            }
        )
    return sources


def published_list(root: Path, rows: Iterable[tuple[str, str]]) -> None:
    """A folder as FETAL_PLANES_DB is published: its list, and a drawn picture for each row's plane and brain plane."""
    kinds: dict[tuple[str, str], int] = {}
    (root / "fetal_planes_db" / "Images").mkdir(parents=True)
    with (root / "fetal_planes_db" / "FETAL_PLANES_DB_data.csv").open("w", newline="") as file:
        writer = csv.writer(file, delimiter=";")
        writer.writerow(["Image_name", "Patient_num", "Plane", "Brain_plane", "Operator", "US_Machine", "Train "])
        for patient, kind in enumerate(rows, 1):
            number = kinds.setdefault(kind, len(kinds))
            for image in (1, 2):
                name = f"Patient{patient:05d}_Plane{number % 6 + 1}_{image}_of_2"
                writer.writerow([name, patient, *kind, "Other", "Aloka", 1])
                Pil.fromarray(grating(number, patient, image)).save(root / "fetal_planes_db" / "Images" / f"{name}.png")


def prompts(path: Path, classes: Sequence[str]) -> None:
    words = {name: [f"the class called {name}", f"an ultrasound image of {name}"] for name in classes}
    path.write_text(yaml.safe_dump({"name": "my prompts", "classes": words}, allow_unicode=True))


def run(root: Path, planes: Mapping[str, Any], classes: Sequence[str], **changes: Any) -> Path:
    """The study's report folder; everything it promises is looked at here."""
    prompts(root / "prompts.yaml", classes)
    config = BRIEF | {"planes": {"image_size_px": SIDE, "deidentify": "nothing", **planes}} | changes
    config["zero_shot"] = {"prompts": str(root / "prompts.yaml")}
    (root / "study.yaml").write_text(yaml.safe_dump(config, allow_unicode=True))
    done = fulora("run", root / "study.yaml", f"data_root={root}", "--work", root / "work")
    assert done.returncode == 0, done.stderr[-3000:]
    for folder in ("classify", "zero_shot"):
        for made in (root / "work").glob(f"{folder}-*"):
            rows = [json.loads(line) for line in (made / "table.jsonl").read_text().splitlines()]
            assert {row["plane"] for row in rows} == set(classes)
            assert {len(row["probabilities"]) for row in rows} == {len(classes)}
            assert all(abs(sum(row["probabilities"]) - 1) < 1e-6 for row in rows)
    judged = next((root / "work").glob("train_judges-*"))
    assert [one["name"] for one in json.loads((judged / "label_set.json").read_text())["classes"]] == list(classes)
    (report,) = (root / "work").glob("report-*")
    text = (report / "report.md").read_text()
    assert all(name in text for name in classes)
    assert fulora("status", root / "study.yaml", f"data_root={root}", "--work", root / "work").returncode == 0
    return report


def test_the_six_classes_of_the_published_list(tmp_path: Path) -> None:
    words = ["Fetal abdomen", "Fetal brain", "Fetal femur", "Fetal thorax", "Maternal cervix", "Other"]
    kinds = [(word, "Trans-thalamic" if word == "Fetal brain" else "Not A Brain") for word in words]
    published_list(tmp_path, kinds * 6)
    source = {"kind": "fetal_planes", "role": "train+validation+test"}
    run(
        tmp_path,
        {"sources": [source], "label_set": "fetal_planes_db"},
        ["abdomen", "brain", "femur", "thorax", "cervix", "other"],
    )


def test_brain_planes(tmp_path: Path) -> None:
    kinds = [("Fetal brain", f"Trans-{end}") for end in ("thalamic", "cerebellum", "ventricular")]
    published_list(tmp_path, [*kinds * 6, ("Other", "Not A Brain"), ("Fetal brain", "Other")])
    source = {"kind": "fetal_planes", "role": "train+validation+test", "column": "Brain_plane"}
    classes = ["trans-thalamic", "trans-cerebellum", "trans-ventricular"]
    run(tmp_path, {"sources": [source]}, classes)


def test_two_classes(tmp_path: Path) -> None:
    classes = ["healthy", "not healthy"]
    tuned = {"CLIP tuned": {"tune": {"method": "lora", "steps": 2, "batch_size": 4, "evaluate_every": 2}}}
    folders = own_folders(tmp_path, classes, PER_CLASS | {"validation": 2})
    run(tmp_path, {"sources": folders}, classes, clip_arms=tuned)


@pytest.mark.heavy
def test_thirty_classes_of_folders(tmp_path: Path) -> None:
    classes = [f"View {number:02d}, été - (β)" for number in range(30)]
    run(tmp_path, {"sources": own_folders(tmp_path, classes)}, classes)


@pytest.mark.parametrize("word", ["", "a"])
def test_classes_of_another_hospital_are_mapped_or_left_out(tmp_path: Path, word: str) -> None:
    """An explicit mapping, and nothing else, brings the folders of one hospital to the classes of another."""
    class_folders(tmp_path / "other place", ["A view", "B view", "C view"], 4, 700)
    mine = ("label_set={name: mine, classes: [a, b]}", r"patient_pattern=P(\d+)_")
    refused = fulora("data", "curate", tmp_path / "other place", *mine, "--work", tmp_path / "work")
    assert refused.returncode == 2
    assert "unknown class 'A view', of 4 images; rename it to one of a, b (label set mine)" in refused.stderr
    mapping = f"classes={{A view: a, B view: b, C view: '{word}'}}"
    done = fulora("data", "curate", tmp_path / "other place", *mine, mapping, "--work", tmp_path / "work")
    assert done.returncode == 0, done.stderr
    images = ImageSet(Path(done.stdout.splitlines()[-1]), "")
    assert Counter(row.plane for row in images.iter_rows()) == {"a": 8 if word else 4, "b": 4}
    assert images.label_set().names == ("a", "b")
