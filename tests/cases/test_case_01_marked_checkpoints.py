"""Case 01: checkpoints marked for velocity prediction and zero terminal SNR, early names, prefixes, precisions."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from fulora.diffusion.models.loading import load_backbone

pytestmark = pytest.mark.real_data


def test_every_file_is_sampled_as_it_says(make_case: Callable[..., None], tmp_path: Path) -> None:
    make_case("01-sdxl-vpred-keys", tmp_path)
    expected = {
        "plain": ("epsilon", False),
        "vpred": ("v_prediction", True),
        "fp8": ("epsilon", False),
        "bf16": ("epsilon", False),
        "sd1": ("epsilon", False),
        "sd1_old_text_names": ("epsilon", False),
        "sd1_state_dict_prefix": ("epsilon", False),
        "sd1_vpred": ("v_prediction", False),
    }
    pipes = {name: load_backbone(tmp_path / f"{name}.safetensors") for name in expected}
    found = {
        name: (pipe.scheduler.config.prediction_type, bool(pipe.scheduler.config.get("rescale_betas_zero_snr")))
        for name, pipe in pipes.items()
    }
    assert found == expected
    assert pipes["vpred"].scheduler.alphas_cumprod[-1] == 0
    for name in ("sd1_old_text_names", "sd1_state_dict_prefix"):
        for part in ("unet", "vae", "text_encoder"):
            theirs, plain = (getattr(pipes[other], part).state_dict() for other in (name, "sd1"))
            assert all(torch.equal(theirs[key], plain[key]) for key in plain)
