import json
from pathlib import Path
from typing import get_args

import pytest
import torch
import torchvision
from pydantic import ValidationError

from fulora.classification.config import ClassifierConfig, Torchvision
from fulora.classification.model import build_classifier, load_classifier, save_classifier
from fulora.classification.networks import ClassifierError

RESNET = ClassifierConfig(image_size_px=32)


@pytest.mark.slow
@pytest.mark.parametrize("architecture", get_args(Torchvision))
def test_every_architecture(architecture: Torchvision) -> None:
    stem = "imagenet" if architecture == "vit_b_16" else "small"
    model = build_classifier(ClassifierConfig(architecture=architecture, stem=stem, image_size_px=32), classes=3).eval()
    with torch.no_grad():
        assert model(torch.rand(2, 1, 40, 30)).shape == (2, 3)


def test_the_small_stem_halves_once_less() -> None:
    seen = {}
    for stem in ("small", "imagenet"):
        model = build_classifier(RESNET.model_copy(update={"stem": stem}), 5).eval()
        model.network.layer1.register_forward_hook(lambda m, i, o, stem=stem: seen.update({stem: o.shape[-1]}))
        model(torch.rand(1, 1, 32, 32))
    assert seen == {"small": 16, "imagenet": 8}


def test_round_trip_and_equal_bytes(tmp_path: Path) -> None:
    model, pixels = build_classifier(RESNET, 5).eval(), torch.rand(2, 1, 32, 32)
    save_classifier(model, tmp_path / "a")
    loaded = load_classifier(tmp_path / "a")
    assert not loaded.training
    assert torch.equal(loaded(pixels), model(pixels))
    save_classifier(loaded, tmp_path / "b")
    for name in ("model.safetensors", "model.json"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_weights_depend_on_the_seed_alone() -> None:
    one, again = build_classifier(RESNET, 5), build_classifier(RESNET, 5)
    other = build_classifier(RESNET.model_copy(update={"seed": 1}), 5)
    assert torch.equal(one.network.fc.weight, again.network.fc.weight)
    assert not torch.equal(one.network.fc.weight, other.network.fc.weight)


def test_loading_errors(tmp_path: Path) -> None:
    with pytest.raises(ClassifierError, match=r"holds no model.json; a classifier's folder holds"):
        load_classifier(tmp_path)
    save_classifier(build_classifier(RESNET, 5), tmp_path)
    facts = json.loads((tmp_path / "model.json").read_text())
    (tmp_path / "model.json").write_text(json.dumps(facts | {"classes": 3}))
    with pytest.raises(ClassifierError, match=r"model.safetensors does not fit model.json"):
        load_classifier(tmp_path)
    (tmp_path / "model.json").write_text(json.dumps(facts | {"colour": "red"}))
    with pytest.raises(ClassifierError, match=r"not the facts of a classifier"):
        load_classifier(tmp_path)


def test_imagenet_weights_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def offline(name: str, **options: object) -> torch.nn.Module:
        assert options["weights"] == "IMAGENET1K_V1"
        raise OSError("no network")

    monkeypatch.setattr(torchvision.models, "get_model", offline)
    with pytest.raises(ClassifierError, match=r"ImageNet weights of resnet18 could not be downloaded \(no network\)"):
        build_classifier(ClassifierConfig(weights="imagenet", stem="imagenet"), 5)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"weights": "imagenet"}, "set stem=imagenet for architecture=resnet18 with weights=imagenet"),
        ({"architecture": "vit_b_16"}, "set stem=imagenet for architecture=vit_b_16"),
        ({"architecture": "timm/resnet10t"}, "set stem=imagenet for architecture=timm/resnet10t"),
        ({"architecture": "alexnet"}, "'alexnet' is not one of resnet18, .*, nor timm/NAME"),
        ({"weights": "imagenet_folded", "stem": "imagenet"}, "are those of mobilenet_v2, not of resnet18"),
        ({"epochs": 2}, "steps=300, epochs=2: give one, and null for the other"),
        ({"steps": None}, "steps=None, epochs=None: give one"),
        ({"steps": None, "epochs": 2}, "which cannot be balanced; set balanced=false, or steps"),
        ({"architecture": "vit_b_16", "stem": "imagenet", "image_size_px": 40}, "a multiple of 16, not 40"),
        ({"architecture": "vit_b_16", "stem": "imagenet", "weights": "imagenet"}, "needs image_size_px=224"),
    ],
)
def test_configs_that_cannot_be(values: dict[str, str | int | None], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        ClassifierConfig(**values)
