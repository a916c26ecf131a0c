import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from fulora.classification import train
from fulora.classification.augment import augmented
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import Classifier, ClassifierError, build_classifier, load_classifier
from fulora.classification.predict import predict
from fulora.training import generator

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


class Killed(Exception):
    pass


def data(n: int = 14, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Brighter with the class: 0 dark, 4 bright."""
    labels = np.arange(n) % 5
    noise = np.random.default_rng(seed).integers(0, 40, (n, 32, 32))
    return (noise + 50 * labels[:, None, None]).astype(np.uint8), labels


def fit(
    out: Path, cfg: ClassifierConfig, validation: tuple[np.ndarray, np.ndarray] = NOTHING, synthetic: int = 0
) -> None:
    images, labels = data()
    train.fit(out, cfg, images, labels, np.arange(len(labels)) < synthetic, validation)


def files(folder: Path) -> dict[str, str]:
    return {file.name: hashlib.sha256(file.read_bytes()).hexdigest() for file in folder.iterdir()}


@pytest.mark.parametrize(
    "cfg",
    [
        TINY,  # has dropout
        TINY.model_copy(update={"architecture": "resnet18", "optimizer": "sgd", "balanced": False, "steps": 4}),
    ],
    ids=["adamw", "sgd"],
)
def test_a_resumed_run_is_the_undisturbed_one_bit_for_bit(
    cfg: ClassifierConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    validation, real_step, calls = data(5, seed=1), train.step, []
    torch.manual_seed(1)
    fit(tmp_path / "whole", cfg, validation)

    def dies(*args):
        calls.append(args)
        if len(calls) == 4:  # step 4: one step after the checkpoint of step 2 is lost
            raise Killed
        return real_step(*args)

    monkeypatch.setattr(train, "step", dies)
    with pytest.raises(Killed):
        fit(tmp_path / "resumed", cfg, validation)
    torch.manual_seed(2)
    fit(tmp_path / "resumed", cfg, validation)
    assert len(calls) == 4 + cfg.steps - 2
    assert files(tmp_path / "resumed") == files(tmp_path / "whole")
    assert set(files(tmp_path / "whole")) == {"model.safetensors", "model.json", "metrics.jsonl"}


def test_bright_from_dark(tmp_path: Path) -> None:
    cfg = TINY.model_copy(update={"architecture": "resnet18", "steps": 10, "batch_size": 10, "augment": False})
    fit(tmp_path, cfg, data(10, seed=1))
    images, labels = data(20, seed=2)
    model = load_classifier(tmp_path)
    probabilities = predict(model, images, batch_size=8)
    assert probabilities.shape == (20, 5)
    assert np.allclose(probabilities.sum(1), 1)
    assert (probabilities.argmax(1) == labels).mean() > 0.8
    assert np.allclose(predict(model, images), probabilities, atol=1e-5)
    assert predict(model, images[:0]).shape == (0, 5)


def test_seed_and_weight_of_synthetic_images_matter(tmp_path: Path) -> None:
    changes = {"a": {}, "b": {"seed": 1}, "c": {"synthetic_weight": 0.1}, "d": {"augment": False}}
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


def test_augmentation() -> None:
    pixels = torch.rand(6, 1, 32, 32)
    one, again, other = (augmented(pixels, generator("x", done)) for done in (1, 1, 2))
    assert torch.equal(one, again)
    assert not torch.equal(one, other)
    assert 0 <= one.min() <= one.max() <= 1


def test_errors(tmp_path: Path) -> None:
    images, labels = data()
    real = np.zeros(len(labels), bool)
    with pytest.raises(ClassifierError, match="14 images and 13 labels"):
        train.fit(tmp_path, TINY, images, labels[:-1], real[:-1], NOTHING)
    with pytest.raises(ClassifierError, match=r"labels \[5\]: a label is the place of a plane in PLANES, 0 to 4"):
        train.fit(tmp_path, TINY, images, labels, real, (images[:2], np.array([5, 0])))
    with pytest.raises(ClassifierError, match="0 images, 0 marks"):
        train.fit(tmp_path, TINY, images[:0], labels[:0], real[:0], NOTHING)
