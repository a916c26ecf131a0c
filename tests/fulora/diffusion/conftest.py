from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from jaxtyping import UInt8

from fulora.data.label_set import label_set
from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.models.architectures import TEXT_ENCODERS, UNETS, build_backbone
from fulora.diffusion.models.loading import save_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.training.examples import Examples

FETAL = label_set("fetal_planes")
WORDS = collect_words(FETAL.captions.values())


@pytest.fixture(scope="session")
def tiny() -> PretrainConfig:
    """The smallest backbone there is, trained for a moment."""
    return PretrainConfig(
        vae_channels=(8, 8, 8),
        unet_channels=(16, 32),
        text_width=16,
        autoencoder_steps=5,
        denoiser_steps=6,
        autoencoder_batch_size=4,
        denoiser_batch_size=4,
        warmup_steps=2,
        log_every=1,
        checkpoint_every=2,
        device="cpu",
    )


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory, tiny: PretrainConfig) -> Path:
    """A folder with a tiny backbone of random weights for pictures of 32 px."""
    folder = tmp_path_factory.mktemp("backbone")
    save_backbone(build_backbone(tiny, 32, folder, WORDS), folder, half=True)
    return folder


@pytest.fixture(scope="session")
def make_sdxl_shallow() -> Callable[[pytest.MonkeyPatch], None]:
    """Has SDXL built with one layer of each kind of its transformers, and three text layers: 150 layers, not 986."""

    def make(patch: pytest.MonkeyPatch) -> None:
        patch.setitem(UNETS, "sdxl", UNETS["sdxl"] | {"transformer_layers_per_block": (1, 1, 1)})
        encoders = tuple(settings | {"num_hidden_layers": 3} for settings in TEXT_ENCODERS["sdxl"])
        patch.setitem(TEXT_ENCODERS, "sdxl", encoders)

    return make


@pytest.fixture
def shallow_sdxl(monkeypatch: pytest.MonkeyPatch, make_sdxl_shallow: Callable[[pytest.MonkeyPatch], None]) -> None:
    """SDXL is built shallow in this test."""
    make_sdxl_shallow(monkeypatch)


@pytest.fixture(scope="session")
def images() -> UInt8[np.ndarray, "10 32 32"]:
    return np.random.default_rng(0).integers(0, 256, (10, 32, 32)).astype(np.uint8)


@pytest.fixture(scope="session")
def captions() -> list[str]:
    return ["a photo of fetal brain", "a photo of fetal femur"] * 5


@pytest.fixture(scope="session")
def examples(images: UInt8[np.ndarray, "10 32 32"], captions: list[str]) -> Examples:
    return Examples(list(images), captions)
