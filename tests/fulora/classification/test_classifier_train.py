import hashlib
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from scipy import stats
from torchvision.models import mobilenet_v2
from torchvision.transforms import RandomResizedCrop
from torchvision.transforms.functional import rotate

from fulora.classification import train
from fulora.classification.augment import augment, draw_crops, rotate_pictures
from fulora.classification.config import Augmentation, ClassifierConfig
from fulora.classification.model import Classifier, build_classifier, load_classifier
from fulora.classification.networks import ClassifierError
from fulora.classification.predict import predict
from fulora.data.label_set import label_set, read_label_set
from fulora.training.seeded_draws import seeded_generator

FETAL = label_set("fetal_planes")

TINY = ClassifierConfig(
    architecture="mobilenet_v2",
    image_size_px=32,
    stem="imagenet",
    steps=5,
    batch_size=6,
    evaluate_every=2,
    checkpoint_every=2,
    log_every=1,
    warmup_steps=1,
    device="cpu",
)
NOTHING = (np.zeros((0, 32, 32), np.uint8), np.zeros(0, np.int64))


def data(n: int = 14, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Brighter with the class: 0 dark, 4 bright."""
    labels = np.arange(n) % 5
    noise = np.random.default_rng(seed).integers(0, 40, (n, 32, 32))
    return (noise + 50 * labels[:, None, None]).astype(np.uint8), labels


def fit(
    out: Path, cfg: ClassifierConfig, validation: tuple[np.ndarray, np.ndarray] = NOTHING, synthetic: int = 0
) -> None:
    images, labels = data()
    train.fit(out, cfg, FETAL, images, labels, np.arange(len(labels)) < synthetic, validation)


def files(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.slow
def test_bright_from_dark(tmp_path: Path) -> None:
    cfg = TINY.model_copy(update={"architecture": "resnet18", "steps": 10, "batch_size": 10, "augmentation": "none"})
    fit(tmp_path, cfg, data(10, seed=1))
    images, labels = data(20, seed=2)
    model = load_classifier(tmp_path)
    assert read_label_set(tmp_path) == FETAL
    probabilities = predict(model, images, batch_size=8)
    assert probabilities.shape == (20, 5)
    assert np.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels).mean() > 0.8
    assert np.allclose(predict(model, images), probabilities, atol=1e-5)
    assert predict(model, images[:0]).shape == (0, 5)


@pytest.mark.slow
def test_seed_and_weight_of_synthetic_images_matter(tmp_path: Path) -> None:
    changes = {"a": {}, "b": {"seed": 1}, "c": {"synthetic_weight": 0.1}, "d": {"augmentation": "none"}}
    for name, change in changes.items():
        fit(tmp_path / name, TINY.model_copy(update={"steps": 2, **change}), synthetic=7)
    fit(tmp_path / "e", TINY.model_copy(update={"steps": 2, "synthetic_weight": 0.1}), synthetic=0)
    assert len({files(tmp_path / name)["model.safetensors"] for name in "abcd"}) == 4
    assert files(tmp_path / "e") == files(tmp_path / "a")  # without synthetic images their weight changes nothing


def test_the_best_checkpoint_is_kept_and_of_equals_the_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    scores = iter([(1.0, 0.5), (0.9, 0.8), (0.8, 0.8), (0.7, 0.2)])
    states = []

    def evaluate(model: Classifier, images: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
        states.append({name: value.clone() for name, value in model.network.state_dict().items()})
        return next(scores)

    monkeypatch.setattr(train, "evaluate", evaluate)
    fit(tmp_path, TINY.model_copy(update={"steps": 7}), data(5))
    kept = load_classifier(tmp_path).network.state_dict()
    assert [all(torch.equal(kept[name], state[name]) for name in kept) for state in states] == [
        False,
        False,
        True,
        False,
    ]
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    found = [(row["step"], row["validation_macro_f1"]) for row in rows if "validation_macro_f1" in row]
    assert found == [(2, 0.5), (4, 0.8), (6, 0.8), (7, 0.2)]


def test_evaluate(monkeypatch: pytest.MonkeyPatch) -> None:
    probabilities = np.array([[0.8, 0.1, 0.1], [0.1, 0.1, 0.8], [0.2, 0.7, 0.1], [0.5, 0.4, 0.1]])
    monkeypatch.setattr(train, "predict", lambda model, images: probabilities)
    loss, f1 = train.evaluate(build_classifier(TINY, 3), data(4)[0], np.array([0, 0, 1, 1]))
    assert loss == pytest.approx(-np.log([0.8, 0.1, 0.7, 0.4]).mean())
    assert f1 == pytest.approx(
        (2 / 4 + 2 / 3) / 2
    )  # class 0: one hit of 2 and 2; class 1: one hit of 2 and 1; 2 absent


def test_balanced_batches_take_the_classes_in_turn() -> None:
    targets = torch.tensor([0] * 50 + [1] * 5 + [4] * 2)
    cfg, real = TINY.model_copy(update={"batch_size": 7}), torch.zeros(57, dtype=torch.bool)
    chosen = torch.cat([train.batch(targets, real, cfg, done, None) for done in range(1, 7)])
    assert torch.bincount(targets[chosen]).tolist() == [14, 14, 0, 0, 14]
    assert sorted(chosen[targets[chosen] == 4].tolist()) == [55] * 7 + [56] * 7
    anyhow = cfg.model_copy(update={"balanced": False})
    plain = torch.cat([train.batch(targets, real, anyhow, done, None) for done in range(1, 10)])
    assert sorted(plain[:57].tolist()) == list(range(57))


@pytest.mark.parametrize("balanced", [True, False])
def test_a_share_of_synthetic_images_is_kept_within_each_class(balanced: bool) -> None:
    targets = torch.tensor([0] * 40 + [1] * 20)
    synthetic = torch.arange(60) % 4 == 0
    cfg = TINY.model_copy(update={"batch_size": 10, "balanced": balanced})
    for share, low, high in ((0.0, 0, 0), (1.0, 1, 1), (0.25, 0.15, 0.35)):
        chosen = torch.cat([train.batch(targets, synthetic, cfg, done, share) for done in range(1, 31)])
        assert low <= synthetic[chosen].float().mean() <= high
        assert (targets[chosen] == 1).float().mean() == pytest.approx(0.5 if balanced else 1 / 3, abs=0.11)
    only_real = torch.cat([train.batch(targets, torch.zeros_like(synthetic), cfg, done, 1.0) for done in range(1, 4)])
    assert len(only_real) == 30  # a class without synthetic images shows its real ones


@pytest.mark.parametrize("kind", ["mild", "fu_lora"])
def test_augmentation(kind: Augmentation) -> None:
    pixels = torch.rand(6, 1, 32, 32)
    one, again, other = (augment(pixels, kind, seeded_generator("x", done)) for done in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 1


def test_errors(tmp_path: Path) -> None:
    images, labels = data()
    real = np.zeros(len(labels), bool)
    with pytest.raises(ClassifierError, match="14 images and 13 classes"):
        train.fit(tmp_path, TINY, FETAL, images, labels[:-1], real[:-1], NOTHING)
    with pytest.raises(ClassifierError, match=r"classes \[5\]: each is the index of one of abdomen, .*, other, 0 to 4"):
        train.fit(tmp_path, TINY, FETAL, images, labels, real, (images[:2], np.array([5, 0])))
    with pytest.raises(ClassifierError, match="label set intrapartum has the class intrapartum alone"):
        train.fit(tmp_path, TINY, label_set("intrapartum"), images, labels * 0, real, NOTHING)
    with pytest.raises(ClassifierError, match="0 images, 0 marks"):
        train.fit(tmp_path, TINY, FETAL, images[:0], labels[:0], real[:0], NOTHING)


def test_crops_are_drawn_as_torchvisions() -> None:
    """Kolmogorov and Smirnov's test on shares of the area and on aspects, of 4,000 crops each."""
    picture = torch.zeros(1, 224, 224)
    torch.manual_seed(0)
    drawn = [RandomResizedCrop.get_params(picture, [0.08, 1.0], [3 / 4, 4 / 3]) for _ in range(4000)]
    theirs = np.array([(height / 224, width / 224) for _, _, height, width in drawn])
    width, height = (side.numpy() for side in draw_crops(4000, seeded_generator("crops", 1)))
    assert stats.ks_2samp(width * height, theirs.prod(1)).pvalue > 0.01
    assert stats.ks_2samp(np.round(width / height, 2), np.round(theirs[:, 1] / theirs[:, 0], 2)).pvalue > 0.01


def test_pictures_turn_as_torchvisions() -> None:
    picture = torch.rand(1, 1, 33, 33, generator=seeded_generator("turn"))
    ours = rotate_pictures(picture, torch.tensor([math.radians(12.0)]))
    assert (ours == rotate(picture, -12.0)).float().mean() > 0.99


@pytest.mark.slow
def test_epochs_show_every_image_once_and_then_end(tmp_path: Path) -> None:
    cfg = TINY.model_copy(update={"steps": None, "epochs": 2, "balanced": False, "select": "last"})
    targets, real = torch.arange(14) % 5, torch.zeros(14, dtype=torch.bool)
    batches = [train.batch(targets, real, cfg, done, None) for done in range(1, 7)]
    assert [len(chosen) for chosen in batches] == [6, 6, 2, 6, 6, 2]
    assert sorted(torch.cat(batches[:3]).tolist()) == sorted(torch.cat(batches[3:]).tolist()) == list(range(14))
    fit(tmp_path, cfg, data(5))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert max(row["step"] for row in rows) == 6
    images, labels = data()
    with pytest.raises(ClassifierError, match="shown synthetic_then_real, which epochs cannot do"):
        train.fit(tmp_path, cfg, FETAL, images, labels, labels < 2, NOTHING, "synthetic_then_real")


@pytest.mark.slow
def test_the_last_checkpoint_is_kept_if_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train, "evaluate", lambda *_: (1.0, 0.0 if len(list(tmp_path.iterdir())) else 1.0))
    fit(tmp_path / "last", TINY.model_copy(update={"select": "last"}), data(5))
    fit(tmp_path / "none", TINY)
    assert files(tmp_path / "last")["model.safetensors"] == files(tmp_path / "none")["model.safetensors"]


def test_bf16_is_of_the_arithmetic_alone(tmp_path: Path) -> None:
    small = TINY.model_copy(update={"architecture": "timm/mobilenetv3_small_050", "steps": 2, "batch_size": 2})
    for precision in ("fp32", "bf16"):
        fit(tmp_path / precision, small.model_copy(update={"precision": precision}))
    full, half = (load_classifier(tmp_path / name).network.state_dict() for name in ("fp32", "bf16"))
    assert {value.dtype for value in half.values()} == {torch.float32, torch.int64}
    assert not torch.equal(full["conv_stem.weight"], half["conv_stem.weight"])
    assert torch.allclose(full["conv_stem.weight"], half["conv_stem.weight"], atol=0.01)


def test_a_constant_rate_does_not_fall(tmp_path: Path) -> None:
    rates = []
    change = {"schedule": "constant", "optimizer": "sgd", "steps": 3, "warmup_steps": 0}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "set_rate", lambda optimizer, factor: rates.append(factor))
        fit(tmp_path, TINY.model_copy(update=change))
    assert rates == [1.0] * 3


def test_a_folded_network_starts_with_the_statistics_of_its_images(tmp_path: Path) -> None:
    layers = {}
    for number, (name, value) in enumerate(mobilenet_layers()):
        layers[f"{number:02}.conv.weight"], layers[f"{number:02}.bias"] = value, np.zeros(len(value), np.float32)
        assert name
    np.savez(tmp_path / "folded.npz", **layers)
    cfg = TINY.model_copy(update={"weights": "imagenet_folded", "steps": 1})
    images, labels = data()
    train.fit(tmp_path / "out", cfg, FETAL, images, labels, labels < 0, NOTHING, start=tmp_path / "folded.npz")
    model = load_classifier(tmp_path / "out")
    assert model.facts.padding == "tensorflow"
    assert model.network.get_submodule("features.0.0").padding == (0, 0)


def mobilenet_layers() -> list[tuple[str, np.ndarray]]:
    network = mobilenet_v2(num_classes=1001)
    found = [(name, value) for name, value in network.state_dict().items() if value.ndim in (2, 4)]
    return [(name, value.numpy()) for name, value in found]
