"""`fulora data check` and `curate` of classes of one's own; FETAL_PLANES_DB's six classes and brain planes."""

import json
import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from command_line import fulora
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.intake.config import CurateConfig
from fulora.intake.image_set_labels import inputs_under, resolve_label_set
from fulora.intake.raw_image import PassedOver
from fulora.intake.read_sources import read_all_sources
from pipelines import study_inputs
from pipelines.checks.findings import Findings
from pipelines.checks.images import Sources

ODD = ["Left Kidney", "żółć", "4 chamber", "LVOT", "x+y=z", "日本"]
MANY = [*ODD, *(f"class no {number}" for number in range(24))]
CURATED = ("patients_unknown=true", "role=train+validation+test", "image_size_px=32", "deidentify=nothing")


def folders(root: Path, names: list[str], each: int = 6) -> Path:
    random = np.random.default_rng(len(names))
    for place, name in enumerate(names):
        (root / name).mkdir(parents=True)
        for number in range(each):
            pixels = random.integers(0, 256, (32, 32), dtype=np.uint8)
            Pil.fromarray(pixels).save(root / name / f"{place}_{number}.png")
    return root


def planes_in(folder: Path) -> Counter[str]:
    images = ImageSet(folder, "")
    return Counter(row.plane for split in ("train", "validation", "test") for row in images.rows(split))


@pytest.mark.slow
@pytest.mark.parametrize("names", [["sick", "well"], MANY], ids=["2", "30"])
def test_folders_of_any_name_are_checked_and_curated(tmp_path: Path, names: list[str]) -> None:
    own = folders(tmp_path / "own", names)
    done = fulora("data", "check", own, "patients_unknown=true", "--json", "-", "-q")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["counts"]["plane"] == dict.fromkeys(json.loads(done.stdout)["counts"]["plane"], 6)
    done = fulora(
        "data", "curate", own, *CURATED, "caption=a scan of {name}", "--work", tmp_path / "work", cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert f"{len(names)} classes, by their folders or labels: " in done.stderr
    made = Path(done.stdout.splitlines()[-1])
    assert planes_in(tmp_path / made) == dict.fromkeys(names, 6)
    labels = ImageSet(tmp_path / made, "").label_set()
    assert set(labels.names) == set(names)
    assert labels.captions == {name: f"a scan of {name}" for name in names}
    config = CurateConfig.model_validate(
        {
            "sources": [{"kind": "class_folders", "folder": "own", "patients_unknown": True}],
            "caption": "a scan of {name}",
        }
    )
    assert study_inputs.labels_of(config, tmp_path) == labels


def test_a_named_label_set_and_renamed_classes(tmp_path: Path) -> None:
    own = folders(tmp_path / "own", ["Kopf", "FEMUR", "scout"])
    command = ("data", "curate", own, *CURATED, "label_set=fetal_planes", "--work", tmp_path / "work", "-q")
    done = fulora(*command)
    assert done.returncode == 2
    assert "unknown class 'Kopf', of 6 images; rename it to one of abdomen, brain, femur, thorax, other" in done.stderr
    done = fulora(*command, "classes={Kopf: brain, scout: ''}")
    assert done.returncode == 0, done.stderr
    made = Path(done.stdout.splitlines()[-1])
    assert planes_in(made) == {"brain": 6, "femur": 6}
    assert ImageSet(made, "").label_set() == label_set("fetal_planes")
    left_out = (made / "audit" / "left_out.txt").read_text()
    assert "left out with all 6 images of 'scout', by classes" in left_out
    done = fulora(*command, "classes={Kof: brain}")
    assert "source class_folders has no class 'Kof'; its classes: FEMUR" in done.stderr


def test_a_layout_of_splits_is_named(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["train", "test"])
    done = fulora("data", "check", tmp_path / "own", "kind=class_folders", "patients_unknown=true")
    assert done.returncode == 2
    assert "is named like a split, not like a class: its layout is one folder of classes per split" in done.stderr


def test_invalid_classes_of_a_study_are_reported(tmp_path: Path) -> None:
    folders(tmp_path / "own", ["Kidney", "kidney"])
    own = {"kind": "class_folders", "folder": "own", "patients_unknown": True}
    found = Findings()
    Sources(found, tmp_path).expect("planes", CurateConfig.model_validate({"sources": [own]}))
    two = [
        {"kind": "phantoms", "sites": ["A"], "per_plane": 1, "planes": [plane]} for plane in ("brain", "intrapartum")
    ]
    assert not Sources(found, tmp_path).expect("heads", CurateConfig.model_validate({"sources": two})).complete
    (kidneys, planes), (mixed, heads) = found.problems.items()
    assert (planes, heads) == (["planes"], ["heads"])
    assert "'Kidney' and 'kidney' differ only in case" in kidneys
    assert "sources.0 (phantoms) and sources.1 (phantoms) have different classes" in mixed


def test_help_shows_label_sets() -> None:
    for command in ("check", "curate"):
        assert "label_set=my_classes.yaml" in fulora("data", command, "--help").stdout


# --- FETAL_PLANES_DB's own list, with the 100 of its images that are here


@pytest.fixture
def planes_db(data_root: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "fetal_planes_db"
    (folder / "Images").mkdir(parents=True)
    shutil.copy(data_root / "fetal_planes_db" / "FETAL_PLANES_DB_data.csv", folder)
    for path in (data_root / "fetal_planes_lora").glob("*/*.png"):
        shutil.copy(path, folder / "Images")
    return tmp_path


def read(root: Path, told: list[str], **values: object) -> Counter[str]:
    column = values.pop("column", "Plane")
    config = CurateConfig.model_validate({"sources": [{"kind": "fetal_planes", "column": column}], **values})
    (images,) = read_all_sources(config, inputs_under(config, root), told.append)
    assert {image.plane for image in images} <= set(resolve_label_set(config, inputs_under(config, root)).names)
    return Counter(image.plane for image in images)


@pytest.mark.real_data
def test_the_cervix_is_read_where_the_label_set_has_it(planes_db: Path) -> None:
    told: list[str] = []
    five = dict.fromkeys(label_set("fetal_planes").names, 20)
    assert read(planes_db, told) == five
    passed = [message for message in told if isinstance(message, PassedOver)]
    assert len(passed) == 1
    assert passed[0].endswith("1626 images of Plane 'Maternal cervix' are of none of the classes")
    assert len(told) == 1 + 12400 - 1626 - 100
    pixels = np.random.default_rng(0).integers(0, 256, (32, 32), dtype=np.uint8)
    Pil.fromarray(pixels).save(planes_db / "fetal_planes_db" / "Images" / "Patient00044_Plane4_1_of_1.png")
    told.clear()
    assert read(planes_db, told, label_set="fetal_planes_db") == five | {"cervix": 1}
    assert not any(isinstance(message, PassedOver) for message in told)
    assert len(told) == 12400 - 101


@pytest.mark.real_data
def test_the_planes_of_the_brain(planes_db: Path) -> None:
    told: list[str] = []
    assert read(planes_db, told, column="Brain_plane") == {
        "trans-thalamic": 14,
        "trans-cerebellum": 5,
        "trans-ventricular": 1,
    }
    passed = sorted(message.rpartition(": ")[2] for message in told if isinstance(message, PassedOver))
    assert passed == [
        "143 images of Brain_plane 'Other' are of none of the classes",
        "9308 images of Brain_plane 'Not A Brain' are of none of the classes",
    ]
