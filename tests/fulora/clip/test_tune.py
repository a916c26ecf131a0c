"""Tuning a CLIP: losses against torch's, merged adapters, and interpolation between old and new weights."""

from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from torch.nn import functional

from fulora.clip import tune
from fulora.clip.config import ClipPretrainConfig, TuneClipConfig
from fulora.clip.loading import Clip, copy_weights, load_clip
from fulora.clip.model import ClipError, build_clip, clip_config, save_clip
from fulora.clip.tune import (
    TuningImages,
    caption_loss,
    interpolate_weights,
    lora_targets,
    merge_adapters,
    prepare_adaptation,
    text_classifier_loss,
)
from fulora.data.label_set import label_set, read_label_set
from fulora.training.seeded_draws import seeded_generator

FETAL = label_set("fetal_planes")

TINY = ClipPretrainConfig(image_size_px=32, width=4, blocks=(1, 1, 1, 1), text_width=16, embed_dim=16)
CFG = TuneClipConfig(
    steps=4, batch_size=5, learning_rate=1e-2, warmup_steps=1, evaluate_every=2, checkpoint_every=2, device="cpu"
)
VIT = {
    "embed_dim": 16,
    "vision_cfg": {"image_size": 32, "layers": 2, "width": 32, "patch_size": 16, "head_width": 16},
    "text_cfg": {"context_length": 32, "vocab_size": 49408, "width": 16, "heads": 1, "layers": 1},
}


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(TINY), clip_config(TINY), folder)
    return folder


def shown(n: int, seed: int) -> TuningImages:
    labels = np.arange(n) % 5
    noise = np.random.default_rng(seed).integers(0, 40, (n, 32, 32))
    return TuningImages((noise + 50 * labels[:, None, None]).astype(np.uint8), labels)


def fit(out: Path, clip: Clip, cfg: TuneClipConfig) -> None:
    tune.fit(out, cfg, FETAL, clip, shown(12, 0), np.arange(12) < 4, shown(5, 1))


@pytest.mark.parametrize("method", ["ce", "flyp", "lora"])
def test_a_tuned_clip_is_an_ordinary_bundle(method: str, bundle: Path, tmp_path: Path) -> None:
    fit(tmp_path, load_clip(bundle), CFG.model_copy(update={"method": method}))
    assert read_label_set(tmp_path) == FETAL
    before, after = load_clip(bundle), load_clip(tmp_path)
    plain, _ = open_clip.create_model_from_pretrained(f"local-dir:{tmp_path}")
    pictures = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        ours = after.model.encode_image(pictures)
        assert torch.equal(plain.eval().encode_image(pictures), ours)
        assert not torch.allclose(before.model.encode_image(pictures), ours)
    same_text = torch.equal(before.model.text_projection, after.model.text_projection)
    assert same_text == (method != "flyp")


@pytest.mark.slow
def test_it_learns_bright_from_dark(bundle: Path, tmp_path: Path) -> None:
    cfg = CFG.model_copy(update={"steps": 60, "batch_size": 10, "learning_rate": 1e-3, "select": "last"})
    before, f1_before = tune.ClipLearner(load_clip(bundle), cfg, FETAL).evaluate(shown(25, 2))
    tune.fit(tmp_path, cfg, FETAL, load_clip(bundle), shown(25, 0), np.zeros(25, bool), shown(0, 1))
    after, f1 = tune.ClipLearner(load_clip(tmp_path), cfg, FETAL).evaluate(shown(25, 2))
    assert after < 0.75 * before
    assert f1 > f1_before + 0.2


def test_losses_are_torchs(bundle: Path) -> None:
    model = load_clip(bundle).model
    seen, labels = torch.rand(4, 3, 32, 32), torch.tensor([0, 1, 1, 4])
    texts = functional.normalize(torch.rand(16, 5), dim=0)
    weights = torch.tensor([1.0, 0.5, 1.0, 0.0])
    logits = model.logit_scale.exp() * model.encode_image(seen, normalize=True) @ texts
    expected = (functional.cross_entropy(logits, labels, reduction="none") * weights).sum() / 2.5
    assert torch.allclose(text_classifier_loss(model, seen, labels, weights, texts), expected)
    tokens = [torch.full((1, 32), plane + 1) for plane in range(5)]
    similarity = (
        model.logit_scale.exp()
        * model.encode_image(seen, normalize=True)
        @ model.encode_text(torch.cat([tokens[label] for label in labels]), normalize=True).T
    )
    same = (labels[:, None] == labels[None]).float()
    target = same / same.sum(1, keepdim=True)
    both = [-(target * side.log_softmax(1)).sum(1).mean() for side in (similarity, similarity.T)]
    found = caption_loss(model, seen, labels, tokens, seeded_generator("x"))
    assert torch.allclose(found, sum(both) / 2, atol=1e-5)


@pytest.mark.parametrize("tower", ["resnet", "vit"])
def test_adapters_begin_as_nothing_and_merge_into_the_same_model(tower: str, bundle: Path) -> None:
    model = load_clip(bundle).model if tower == "resnet" else open_clip.CLIP(**VIT).eval()
    names, pictures = list(model.state_dict()), torch.rand(2, 3, 32, 32)
    targets = lora_targets(model.visual)
    assert all(("attn" in name or "mlp" in name) == (tower == "vit") for name in targets)
    with torch.no_grad():
        before = model.encode_image(pictures)
        model = prepare_adaptation(model, CFG.model_copy(update={"method": "lora"})).eval()
        assert torch.allclose(model.encode_image(pictures), before, atol=1e-5)
        learning = [name for name, p in model.named_parameters() if p.requires_grad]
        assert all("lora" in name or name == "logit_scale" for name in learning)
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_(std=1.0)
        changed = model.encode_image(pictures)
        assert not torch.allclose(changed, before, atol=1e-3)
        model = merge_adapters(model)
        assert set(model.state_dict()) == set(names)
        assert torch.allclose(model.encode_image(pictures), changed, atol=1e-3)


def test_weights_between_are_those_of_the_ends_at_the_ends(bundle: Path) -> None:
    old, new = copy_weights(load_clip(bundle).model), copy_weights(build_clip(TINY.model_copy(update={"seed": 1})))
    assert all(torch.equal(value, old[name]) for name, value in interpolate_weights(old, new, 0.0).items())
    assert all(torch.equal(value, new[name]) for name, value in interpolate_weights(old, new, 1.0).items())
    middle = interpolate_weights(old, new, 0.25)["text_projection"]
    assert torch.allclose(middle, 0.75 * old["text_projection"] + 0.25 * new["text_projection"])
    with pytest.raises(ClipError, match="different architectures"):
        interpolate_weights(old, {}, 0.5)


@pytest.mark.slow
def test_wise_ft_keeps_a_share_of_the_old_weights(bundle: Path, tmp_path: Path) -> None:
    for name, share in (("whole", 1.0), ("half", 0.5), ("none", 0.0)):
        fit(tmp_path / name, load_clip(bundle), CFG.model_copy(update={"wise_ft": share, "select": "last"}))
    old = copy_weights(load_clip(bundle).model)
    whole, half, none = (copy_weights(load_clip(tmp_path / name).model) for name in ("whole", "half", "none"))
    for name, value in old.items():
        assert torch.equal(none[name], value)
        assert torch.allclose(half[name].float(), (value.float() + whole[name].float()) / 2, atol=1e-5)


def test_there_is_something_to_tune_on(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match="no images to tune on"):
        tune.fit(tmp_path, CFG, FETAL, load_clip(bundle), shown(0, 0), np.zeros(0, bool), shown(0, 0))
