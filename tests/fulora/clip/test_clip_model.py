from pathlib import Path

import numpy as np
import open_clip
import pytest
import torch
from PIL import Image as Pil
from pydantic import ValidationError

from fulora.clip.config import ClipPretrainConfig
from fulora.clip.loading import load_clip
from fulora.clip.model import WEIGHTS, build_clip, clip_config, normalise, save_clip, to_squares, to_unit_range

TINY = ClipPretrainConfig(image_size_px=32, width=4, blocks=(1, 1, 1, 1), text_width=16, embed_dim=16)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clip")
    save_clip(build_clip(TINY), clip_config(TINY), folder)
    return folder


def test_round_trip_and_equal_bytes(bundle: Path, tmp_path: Path) -> None:
    built = build_clip(TINY)
    clip = load_clip(bundle)
    model = clip.model
    assert not model.training
    for name, value in model.state_dict().items():
        assert value.dtype == built.state_dict()[name].dtype
        rounded = built.state_dict()[name].half().to(value.dtype)
        assert torch.equal(value, rounded), name
    assert clip.tokenizer(["a sonogram"]).shape == (1, TINY.context_length)
    save_clip(model, clip.config, tmp_path)
    assert (tmp_path / WEIGHTS).read_bytes() == (bundle / WEIGHTS).read_bytes()


def test_the_default_model_is_small(tmp_path: Path) -> None:
    model = build_clip(ClipPretrainConfig())
    assert model.token_embedding.weight.numel() <= 1.6e6
    assert sum(p.numel() for p in model.parameters()) <= 2.6e6
    save_clip(model, clip_config(ClipPretrainConfig()), tmp_path)
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
    model = load_clip(bundle).model
    _, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{bundle}")
    for size in (32, 50):
        image = np.random.default_rng(0).integers(0, 255, (size, size), dtype=np.uint8)
        ours = normalise(model, to_unit_range(to_squares([image], 32)))[0]
        assert torch.allclose(ours, preprocess(Pil.fromarray(image)), atol=1e-6)
    smooth = np.linspace(0, 255, 64 * 48).reshape(64, 48).astype(np.uint8)
    ours = normalise(model, to_unit_range(to_squares([smooth], 32)))[0]
    theirs = preprocess(Pil.fromarray(smooth))
    assert (ours - theirs).abs()[:, :, 6:26].max() < 0.03  # they resize first and pad then


def test_a_wide_frame_is_padded_and_not_cropped() -> None:
    square = to_unit_range(to_squares([np.full((10, 20), 255, np.uint8)], 20))
    assert square.shape == (1, 1, 20, 20)
    assert torch.equal(square[0, 0, :, 0], torch.tensor([0.0] * 5 + [1.0] * 10 + [0.0] * 5))


def test_configs() -> None:
    with pytest.raises(ValidationError, match="image_size_px=60 is not a multiple of 32"):
        ClipPretrainConfig(image_size_px=60)
    with pytest.raises(ValidationError, match="text_width=20 is not a multiple of 16"):
        ClipPretrainConfig(text_width=20)
