import subprocess
import sys

import pytest
from pydantic import ValidationError

from fulora.config import identity
from fulora.data.captions import CAPTIONS
from fulora.diffusion.config import GenerateConfig, LoraConfig, PretrainConfig


def test_configs_do_not_import_torch() -> None:
    code = "import sys, fulora.diffusion.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_device_and_the_checkpoints_are_not_part_of_a_result() -> None:
    for config in (PretrainConfig(), LoraConfig(), GenerateConfig(per_class=1)):
        known = identity(config)
        assert isinstance(known, dict)
        assert not {"device", "checkpoint_every"} & set(known)


def test_prompts_are_the_captions_unless_said_otherwise() -> None:
    assert GenerateConfig(per_class=1).prompts == CAPTIONS


def test_downsampling_follows_the_channels() -> None:
    assert PretrainConfig(vae_channels=(8, 8, 16)).latent_downsampling == 4


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (PretrainConfig, {"vae_channels": (8, 12)}, "vae_channels are multiples of 8"),
        (PretrainConfig, {"unet_channels": (16, 24)}, "unet_channels of 16"),
        (PretrainConfig, {"caption_dropout": 1.5}, "less than or equal to 1"),
        (LoraConfig, {"rank": 0}, "greater than 0"),
        (LoraConfig, {"text_encoder_learning_rate": -1}, "greater than or equal to 0"),
        (GenerateConfig, {"per_class": 1, "prompts": {"brain": "x"}}, "no prompt for abdomen, femur, other, thorax"),
        (GenerateConfig, {"per_class": 1, "planes": ("brain", "brain")}, "each plane is named once"),
        (GenerateConfig, {"per_class": 1, "image_size_px": 60}, "multiple of 8"),
        (GenerateConfig, {"per_class": 1, "guidance_scale": 0.5}, "greater than or equal to 1"),
    ],
)
def test_values_out_of_range_are_refused(
    kind: type[PretrainConfig | LoraConfig | GenerateConfig], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(values)
