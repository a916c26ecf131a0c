"""A study on one's own images and masks in two folders, from the shipped config of at most 20 lines, to its report."""

import math
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image as Pil

from fulora.biometry.ellipse import perimeter
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError, read_label_set
from fulora.data.results import Measurement, Measurements
from fulora.data.weights import UnetWeights
from fulora.engine import InProcess
from fulora.segmentation.config import SegmentConfig
from fulora.stage import read_record
from fulora.workspace import Workspace
from pipelines import configs
from pipelines.segmentation import SegmentationStudyConfig, run
from pipelines.stages.measure import MeasureConfig, measure
from pipelines.stages.segment import segment

pytestmark = pytest.mark.slow

UNET = {
    "encoder": "mobilenet_v2",
    "decoder_channels": [16, 16, 16, 8, 8],
    "steps": 2,
    "batch_size": 2,
    "evaluate_every": 2,
    "device": "cpu",
}
SHAPE = (64, 64)
AXES = (24.0, 17.0)


def scan(folder: Path, name: str, regions: dict[int, np.ndarray], number: int) -> None:
    """A picture with noise, and its mask."""
    random, mask = np.random.default_rng(number), np.zeros(SHAPE, np.uint8)
    for label, region in regions.items():
        mask[region > 0] = label
    pixels = np.clip(60 + 60 * (mask > 0) + random.normal(0, 12, SHAPE), 0, 255).astype(np.uint8)
    for half, array in (("images", pixels), ("masks", mask)):
        (folder / half).mkdir(parents=True, exist_ok=True)
        Pil.fromarray(array).save(folder / half / name)


def ellipse(at: tuple[float, float], axes: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    drawn = np.zeros(SHAPE, np.uint8)
    cv2.ellipse(drawn, (at, (2 * axes[0], 2 * axes[1]), angle), 1, -1)
    return drawn


def made(work: Path, stage: str) -> list[Path]:
    return [path for path in sorted(work.glob(f"{stage}-*")) if read_record(path)["stage"] == stage]


def measurements(work: Path) -> list[Measurement]:
    return Measurements(made(work, "measure")[0], "").rows()


def study(root: Path, structures: dict[str, object], **source: object) -> SegmentationStudyConfig:
    about = {
        "kind": "parallel_folders",
        "folder": "own",
        "plane": "scan",
        "patient_pattern": r"P(\d+)",
        "role": "train+validation+test",
    }
    labels = {"name": "mine", "classes": [{"name": "scan", "structures": structures}]}
    heads = {"label_set": labels, "sources": [about | source], "image_size_px": 64, "deidentify": "nothing"}
    values = {"study": "segmentation", "data_root": str(root), "heads": heads, "unet": UNET}
    values |= {"score": {"draws": 100, "permutations": 100}, "report": {"title": "own", "about": "mine"}}
    return SegmentationStudyConfig.model_validate(values)


def lines_of(path: Path) -> list[str]:
    return [line for line in path.read_text(encoding="utf-8").splitlines() if line.strip() and not line.startswith("#")]


def test_the_shipped_config_runs_to_its_report(tmp_path: Path) -> None:
    folder = tmp_path / "data" / "own_masks"
    for number in range(10):
        scan(folder, f"P{number}_1.png", {255: ellipse((32, 32), AXES, 15 * number)}, number)
    sizes = "".join(f"P{number}_1.png,0.8\n" for number in range(10))
    (folder / "pixel_sizes.csv").write_text("filename,pixel size(mm)\n" + sizes)
    assert len(lines_of(Path(__file__).parents[2] / "configs" / "own_masks.yaml")) <= 20
    changes = [f"unet.{name}={value}" for name, value in UNET.items()]
    cfg = configs.load(
        "own_masks", [f"data_root={tmp_path / 'data'}", "heads.image_size_px=64", *changes, "score.draws=100"]
    )[1]
    assert isinstance(cfg, SegmentationStudyConfig)
    report = run(cfg, Workspace(tmp_path / "work", InProcess()))
    assert "Segmentation of our own images" in (report.path / "report.html").read_text(encoding="utf-8")
    rows = measurements(tmp_path / "work")
    assert {row.structure for row in rows} == {"head"}
    circumferences = [row for row in rows if row.quantity == "hc"]
    assert {(row.unit, row.reference_from) for row in circumferences} == {("mm", "mask")}
    for row in circumferences:
        assert row.reference == pytest.approx(0.8 * perimeter(AXES[0] + 0.5, AXES[1] + 0.5), rel=0.02)
    assert read_label_set(made(tmp_path / "work", "train_unet")[0]).names == ("head scan",)


def test_three_structures_have_overlaps_only_and_four_outputs(tmp_path: Path) -> None:
    spots = {1: (16.0, 16.0), 2: (46.0, 16.0), 3: (32.0, 46.0)}
    for number in range(8):
        scan(tmp_path / "own", f"P{number}.png", {label: ellipse(at, (9, 7)) for label, at in spots.items()}, number)
    run(study(tmp_path, {"left": 1, "right": 2, "isthmus": 3}), Workspace(tmp_path / "work", InProcess()))
    rows = measurements(tmp_path / "work")
    assert {row.structure for row in rows} == {"left", "right", "isthmus", "all"}
    assert {row.quantity for row in rows} == {"dice", "iou", "nsd", "hd", "hd95", "assd"}
    assert '"classes": 4' in (made(tmp_path / "work", "train_unet")[0] / "model.json").read_text()


def test_an_angle_of_own_folders_is_the_phantoms(tmp_path: Path) -> None:
    """A level axis whose end is at (28, 16), and a circle of radius 12 at (45, 42): the tangent is at 74.3 degrees."""
    end, centre, radius = np.array([28.5, 16.0]), np.array([45.0, 42.0]), 12.5
    away = centre - end
    tangent = math.degrees(math.atan2(away[1], away[0]) - math.asin(radius / float(np.hypot(*away))))
    for number in range(8):
        regions = {1: ellipse((16, 16), (12, 4)), 2: ellipse((45, 42), (12, 12))}
        scan(tmp_path / "own", f"P{number}.png", regions, number)
    structures = {"symphysis": {"number": 1, "measured": "angle"}, "head": {"number": 2, "measured": "angle"}}
    run(study(tmp_path, structures), Workspace(tmp_path / "work", InProcess()))
    rows = measurements(tmp_path / "work")
    references = [row.reference for row in rows if row.quantity == "aop"]
    assert references == pytest.approx([180 - tangent] * len(references), abs=2.0)
    assert {row.quantity for row in rows} >= {"aop", "psfhs_s"}
    _refuses_masks_of_another_label_set(tmp_path)


def _refuses_masks_of_another_label_set(root: Path) -> None:
    unet, images = made(root / "work", "train_unet")[0], ImageSet(made(root / "work", "curate")[0], "")
    (root / "other").mkdir()
    other = LabelSet.model_validate({"name": "other", "classes": [{"name": "scan", "structures": {"a": 1, "b": 2}}]})
    ImageSet.write(root / "other", images.pictures(), labels=other)
    (root / "out").mkdir()
    with pytest.raises(LabelSetError, match=r"have different structures:\n.*1 symphysis, 2 head .*\n.*1 a, 2 b"):
        segment.function(root / "out", SegmentConfig(), ImageSet(root / "other", ""), [UnetWeights(unet, "")])
    masks = segment.returns(made(root / "work", "segment")[0], "")
    with pytest.raises(LabelSetError, match=r"have different structures:\n.*1 a, 2 b .*\n.*1 symphysis, 2 head"):
        measure.function(root / "out", MeasureConfig(), ImageSet(root / "other", ""), masks)


def test_class_folders_with_masks_enter_a_study(tmp_path: Path) -> None:
    for number in range(8):
        scan(tmp_path / "raw", f"P{number}.png", {1: ellipse((32, 32), AXES)}, number)
        for half, end in (("images", ""), ("masks", "_mask")):
            target = tmp_path / "own" / "scan" / f"P{number}{end}.png"
            target.parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "raw" / half / f"P{number}.png").rename(target)
    cfg = study(tmp_path, {"cyst": {"number": 1, "measured": "ellipse", "unit": "px"}})
    source = {
        "kind": "class_folders",
        "folder": "own",
        "mask_suffix": "_mask",
        "patient_pattern": r"P(\d+)",
        "role": "train+validation+test",
    }
    heads = cfg.heads.changed(sources=[source])
    run(cfg.changed(heads=heads), Workspace(tmp_path / "work", InProcess()))
    found = [row for row in measurements(tmp_path / "work") if row.quantity == "hc"]
    assert {row.unit for row in found} == {"px"}
    assert all(row.reference == pytest.approx(perimeter(AXES[0] + 0.5, AXES[1] + 0.5), rel=0.02) for row in found)
