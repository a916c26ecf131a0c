import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import UInt8

from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.training import pretrain
from fulora.diffusion.training.objective import encode


@pytest.fixture(scope="module")
def pretrained(
    tmp_path_factory: pytest.TempPathFactory,
    tiny: PretrainConfig,
    images: UInt8[np.ndarray, "10 32 32"],
    captions: Sequence[str],
) -> Path:
    out = tmp_path_factory.mktemp("pretrained")
    pretrain.fit(out, tiny, images, captions, collect_words(captions))
    return out


def test_the_steps_of_both_loops_are_counted_in_one_log(pretrained: Path) -> None:
    lines = [json.loads(line) for line in (pretrained / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == list(range(1, 12))
    assert ["autoencoder_l1" in line for line in lines] == [True] * 5 + [False] * 6
    assert ["denoiser_loss" in line for line in lines] == [False] * 5 + [True] * 6


def test_the_scaling_factor_gives_latents_of_unit_variance(
    pretrained: Path, images: UInt8[np.ndarray, "10 32 32"]
) -> None:
    latents = encode(load_backbone(pretrained).vae, list(images))
    assert float(torch.stack(list(latents.mean)).std()) == pytest.approx(1, abs=0.01)


@pytest.mark.slow
def test_the_autoencoder_learns(tmp_path: Path, tiny: PretrainConfig) -> None:
    rows, columns = np.mgrid[:32, :32]
    discs = [(rows - 16) ** 2 + (columns - 10 - k) ** 2 < 50 for k in range(10)]
    images = np.stack(discs).astype(np.uint8) * 200
    cfg = tiny.model_copy(update={"autoencoder_steps": 60, "denoiser_steps": 1, "log_every": 60})
    pretrain.fit(tmp_path, cfg, images, ["a photo"] * 10, collect_words(["a photo"]))
    last = json.loads((tmp_path / "metrics.jsonl").read_text().splitlines()[0])
    assert last["autoencoder_l1"] < 0.25
    pipe = load_backbone(tmp_path)
    pictures = torch.from_numpy(images).float().div(127.5).sub(1)[:, None].expand(-1, 3, -1, -1)
    with torch.no_grad():
        decoded = pipe.vae.decode(pipe.vae.encode(pictures).latent_dist.mode()).sample
    assert float((decoded - pictures).abs().mean()) < 0.3


def test_texture_strength_tells_speckle_from_gray_and_not_speckle_from_other_speckle() -> None:
    speckle = torch.randn(2, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    strength = pretrain.texture_strength(speckle)
    assert strength.shape == (2, 2, 14, 14)
    assert float((strength[0] - strength[1]).abs().mean()) < 0.2 * float(strength.mean())
    assert not pretrain.texture_strength(torch.zeros(1, 1, 16, 16)).any()


@pytest.mark.parametrize(
    ("shape", "count", "message"),
    [
        ((2, 32, 32), 3, "2 images and 3 captions"),
        ((0, 32, 32), 0, "0 images"),
        ((2, 32, 24), 2, "images of 32 x 24 px: square ones"),
        ((2, 36, 36), 2, "a multiple of 8 px"),
    ],
)
def test_images_that_do_not_suit_are_refused(
    tmp_path: Path, tiny: PretrainConfig, shape: tuple[int, int, int], count: int, message: str
) -> None:
    with pytest.raises(BackboneError, match=message):
        pretrain.fit(tmp_path, tiny, np.zeros(shape, np.uint8), ["a"] * count, ("a",))


def test_the_autoencoder_learns_masks_in_the_red_channel(
    tmp_path: Path,
    tiny: PretrainConfig,
    images: UInt8[np.ndarray, "10 32 32"],
    captions: Sequence[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen = []
    usual = pretrain.to_tensor

    def noted(shown: np.ndarray) -> torch.Tensor:
        seen.append(shown)
        return usual(shown)

    monkeypatch.setattr(pretrain, "to_tensor", noted)
    pretrain.fit(tmp_path, tiny.model_copy(update={"mask_channel": True}), images, captions, collect_words(captions))
    assert len(seen) == tiny.autoencoder_steps
    for shown in seen:
        assert shown.shape == (tiny.autoencoder_batch_size, 32, 32, 3)
        assert set(np.unique(shown[0, ..., 0])) <= {0, 255}
        assert np.array_equal(shown[1, ..., 0], shown[1, ..., 1])
