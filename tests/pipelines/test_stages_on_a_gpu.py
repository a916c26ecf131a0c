"""Every stage that predicts moves its network to the device: on a simulated GPU, no tensor stays on the CPU."""

from pathlib import Path

import numpy as np
import pytest
from fake_gpu import fake_gpu

from fulora.classification.config import ClassifierConfig
from fulora.classification.model import build_classifier, save_classifier
from fulora.classification.training_classes import TrainingClasses
from fulora.clip.config import ForgettingConfig, ProbeConfig, ZeroShotConfig
from fulora.data.embeddings import Embeddings, write_embeddings
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.weights import ClassifierWeights, ClipWeights, UnetWeights
from fulora.mask_folders.segment import segment_folder
from fulora.segmentation.addition_config import AdditionConfig
from fulora.segmentation.config import SegmentConfig, UnetConfig
from fulora.segmentation.model import build_unet, save_unet
from pipelines.backbone_names import ASSETS
from pipelines.stages.add_drawn import add_drawn
from pipelines.stages.classify import classify
from pipelines.stages.embed_images import embed_images
from pipelines.stages.forgetting import forgetting
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.pseudo_label import pseudo_label
from pipelines.stages.segment import segment
from pipelines.stages.zero_shot import zero_shot

FETAL = label_set("fetal_planes")
CLIP = ClipWeights(ASSETS / "clip", "c")
LOAD_CLIP, LOAD_UNET = ["fulora.clip.loading.load_clip"], ["fulora.segmentation.model.load_unet"]


def write(folder: Path, name: str, first: int, planes: tuple[str, ...] = FETAL.names) -> ImageSet:
    """Two patients a split, each with one 40x50 picture a plane, the head's with its mask."""
    folder.joinpath(name).mkdir(parents=True)
    about = {"file_name": "", "origin": "real", "source": "s", "site": name, "width": 0, "height": 0, "sha256": ""}
    random, mask = np.random.default_rng(first), np.zeros((40, 50), np.uint8)
    mask[10:30, 10:40] = 1
    pictures = [
        Picture(
            Image.model_validate(
                about | {"image_id": f"{name}{p}{plane}", "plane": plane, "split": split, "patient": f"{name}{p}"}
            ),
            random.integers(0, 256, (40, 50)).astype(np.uint8),
            mask if plane == "brain" else None,
        )
        for number, split in enumerate(("train", "validation", "test"))
        for p in range(first + 2 * number, first + 2 * number + 2)
        for plane in planes
    ]
    ImageSet.write(folder / name, pictures, labels=FETAL)
    return ImageSet(folder / name, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("on-a-gpu")


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageSet:
    return write(folder, "images", 10)


@pytest.fixture(scope="module")
def heads(folder: Path) -> ImageSet:
    return write(folder, "heads", 20, ("brain",))


@pytest.fixture(scope="module")
def embeddings(folder: Path, images: ImageSet) -> Embeddings:
    (folder / "embeddings").mkdir()
    rows = images.rows()
    write_embeddings(folder / "embeddings", rows, np.eye(64, dtype=np.float32)[: len(rows)])
    return Embeddings(folder / "embeddings", "e")


@pytest.fixture(scope="module")
def unet(folder: Path) -> UnetWeights:
    settings = {"encoder": "resnet18", "image_size_px": 32, "decoder_channels": (16, 16, 16, 8, 8)}
    config = UnetConfig.model_validate(settings)
    (folder / "unet").mkdir()
    save_unet(folder / "unet", config, build_unet(config).net.state_dict())
    FETAL.write(folder / "unet")
    return UnetWeights(folder / "unet", "u")


def test_images_are_embedded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet) -> None:
    with fake_gpu(monkeypatch, LOAD_CLIP):
        embedded = embed_images.function(tmp_path, images, CLIP)
    assert embedded.of(images.rows()).shape == (30, 64)


def test_prompts(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet, embeddings: Embeddings) -> None:
    with fake_gpu(monkeypatch, LOAD_CLIP):
        predicted = zero_shot.function(tmp_path, ZeroShotConfig(), images, CLIP, embeddings)
    assert len(predicted.rows()) == 10


def test_tip_adapter(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet, embeddings: Embeddings) -> None:
    with fake_gpu(monkeypatch, LOAD_CLIP):
        probe_clip.function(tmp_path, ProbeConfig(head="tip"), images, images, CLIP, embeddings, embeddings)


def test_forgetting(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet) -> None:
    with fake_gpu(monkeypatch, LOAD_CLIP):
        forgetting.function(tmp_path, ForgettingConfig(alphas=(0.0, 0.5)), images, CLIP, CLIP)


def test_classes(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet) -> None:
    save_classifier(build_classifier(ClassifierConfig(image_size_px=32), 5), tmp_path / "model")
    FETAL.write(tmp_path / "model")
    TrainingClasses.of(images.rows("train"), FETAL, balanced=True).write(tmp_path / "model")
    (tmp_path / "out").mkdir()
    with fake_gpu(monkeypatch, ["fulora.classification.model.load_classifier"]):
        classify.function(tmp_path / "out", images, ClassifierWeights(tmp_path / "model", "m"))


def test_masks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heads: ImageSet, unet: UnetWeights) -> None:
    with fake_gpu(monkeypatch, LOAD_UNET):
        masks = segment.function(tmp_path, SegmentConfig(), heads, [unet])
    assert len(list((masks.path / "masks").iterdir())) == 2


def test_masks_of_a_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, images: ImageSet, unet: UnetWeights
) -> None:
    with fake_gpu(monkeypatch, ["fulora.mask_folders.segment.load_unet"]):
        assert segment_folder(images.path / "test", [unet.path], tmp_path, SegmentConfig()).masks == 10


def test_pseudo_labels(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heads: ImageSet, unet: UnetWeights) -> None:
    others = write(tmp_path, "others", 30)
    (tmp_path / "out").mkdir()
    with fake_gpu(monkeypatch, LOAD_UNET):
        pseudo_label.function(tmp_path / "out", AdditionConfig(), heads, others, [unet])


def test_images_on_masks(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, heads: ImageSet, unet: UnetWeights) -> None:
    drawn = write(tmp_path, "drawn", 40, ("brain",))
    (tmp_path / "out").mkdir()
    with fake_gpu(monkeypatch, LOAD_UNET):
        add_drawn.function(tmp_path / "out", AdditionConfig(), heads, drawn, [unet])
