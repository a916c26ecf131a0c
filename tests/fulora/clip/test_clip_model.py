import json
import shutil
from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.clip.config import ClipPretrainConfig, ZeroShotConfig
from fulora.clip.model import CONFIG, WEIGHTS, ClipError, build_clip, load_clip, normalised, save_clip, to_square
from fulora.clip.prompts import PROMPTS, pretraining_captions
from fulora.data.labels import PLANES

TINY = ClipPretrainConfig(image_size_px=32, width=4, blocks=(1, 1, 1, 1), text_width=16, embed_dim=16)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(TINY), TINY, folder)
    return folder


def test_round_trip_and_equal_bytes(bundle: Path, tmp_path: Path) -> None:
    built = build_clip(TINY)
    model, _, tokenizer = load_clip(bundle)
    assert not model.training
    for name, value in model.state_dict().items():
        assert value.dtype == built.state_dict()[name].dtype
        rounded = built.state_dict()[name].half().to(value.dtype)
        assert torch.equal(value, rounded), name
    assert tokenizer(["a sonogram"]).shape == (1, TINY.context_length)
    save_clip(model, TINY, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (bundle / WEIGHTS).read_bytes()


def test_the_default_model_is_small(tmp_path: Path) -> None:
    model = build_clip(ClipPretrainConfig())
    assert model.token_embedding.weight.numel() <= 1.6e6
    assert sum(p.numel() for p in model.parameters()) <= 2.6e6
    save_clip(model, ClipPretrainConfig(), tmp_path)
    assert (tmp_path / WEIGHTS).stat().st_size < 5.3e6


def test_weights_depend_on_the_seed_and_not_on_torch_state() -> None:
    torch.manual_seed(5)
    one, state = build_clip(TINY), torch.random.get_rng_state()
    torch.manual_seed(6)
    again, other = build_clip(TINY), build_clip(TINY.model_copy(update={"seed": 1}))
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), again.parameters(), strict=True))
    assert not torch.equal(one.text_projection, other.text_projection)
    torch.manual_seed(5)
    assert torch.equal(state, torch.random.get_rng_state())


def test_tensors_are_prepared_as_open_clip_does(bundle: Path) -> None:
    model, preprocess, _ = load_clip(bundle)
    image = np.random.default_rng(0).integers(0, 255, (32, 32), dtype=np.uint8)
    ours = normalised(model, to_square(image[None], 32))[0]
    assert torch.allclose(ours, preprocess(Pil.fromarray(image)), atol=1e-6)
    smooth = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)
    ours = normalised(model, to_square(smooth[None], 32))[0]
    theirs = preprocess(Pil.fromarray(smooth))
    assert (ours - theirs).abs()[:, :, 6:26].max() < 0.1  # their resize is by Pillow, in whole gray values


def test_a_wide_frame_is_padded_and_not_cropped() -> None:
    square = to_square(np.full((1, 10, 20), 255, np.uint8), 20)
    assert square.shape == (1, 1, 20, 20)
    assert torch.equal(square[0, 0, :, 0], torch.tensor([0.0] * 5 + [1.0] * 10 + [0.0] * 5))


def test_never_a_random_model(bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(ClipError, match=r"holds no open_clip_config.json; a CLIP folder holds .*safetensors"):
        load_clip(tmp_path)
    shutil.copy(bundle / CONFIG, tmp_path / CONFIG)
    torch.save(build_clip(TINY).state_dict(), tmp_path / "weights.pt")
    with pytest.raises(ClipError, match=r"holds no weights that open_clip would find .*open_clip_model.safetensors"):
        load_clip(tmp_path)
    config = json.loads((bundle / CONFIG).read_text())
    config["model_cfg"]["embed_dim"] = 24
    shutil.copy(bundle / WEIGHTS, tmp_path / WEIGHTS)
    (tmp_path / CONFIG).write_text(json.dumps(config))
    with pytest.raises(ClipError, match="not a CLIP that open_clip can load"):
        load_clip(tmp_path)


def test_published_models(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = {}

    def offline(name, tag, **options):
        asked.update(options, name=name, tag=tag)
        raise OSError("no network")

    monkeypatch.setattr(open_clip, "create_model_from_pretrained", offline)
    with pytest.raises(ClipError, match=r"hub:ViT-B-32/openai: .*no network.*Without a network, give the path"):
        load_clip("hub:ViT-B-32/openai")
    assert asked == {"name": "ViT-B-32", "tag": "openai", "force_quick_gelu": True}
    with pytest.raises(ClipError, match="open_clip has no weights for 'ViT-B-33'"):
        load_clip("hub:ViT-B-33/openai")
    with pytest.raises(ClipError, match="'ViT-B-32' has no pretrained tag 'oepnai'; it has openai, "):
        load_clip("hub:ViT-B-32/oepnai")


def test_configs() -> None:
    with pytest.raises(ValidationError, match="image_size_px=60 is not a multiple of 32"):
        ClipPretrainConfig(image_size_px=60)
    with pytest.raises(ValidationError, match="text_width=20 is not a multiple of 16"):
        ClipPretrainConfig(text_width=20)
    with pytest.raises(ValidationError, match="prompts names exactly the planes"):
        ZeroShotConfig(prompts={"brain": ("a head",)})
    assert tuple(ZeroShotConfig().prompts) == PLANES


def test_prompts_and_captions_share_words_and_no_sentence() -> None:
    tokenizer = open_clip.SimpleTokenizer(context_length=77)
    for plane in PLANES:
        captions = pretraining_captions(plane)
        assert len(PROMPTS[plane]) >= 5
        assert len(set(captions)) == len(captions) > 50
        assert not set(captions) & set(PROMPTS[plane])
        longest = int((tokenizer([*captions, *PROMPTS[plane]]) > 0).sum(1).max())
        assert longest <= ClipPretrainConfig().context_length
    with pytest.raises(ValueError, match="plane 'intrapartum' has no pre-training captions"):
        pretraining_captions("intrapartum")
