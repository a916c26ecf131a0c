import subprocess
import sys

import pytest
from pydantic import ValidationError

from fulora.config import identity
from fulora.diffusion.config import LoraConfig, PretrainConfig
from fulora.diffusion.sampling.config import GenerateConfig


def test_configs_do_not_import_torch() -> None:
    code = "import sys, fulora.diffusion.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_the_device_and_the_checkpoints_are_not_part_of_a_result() -> None:
    for config in (PretrainConfig(), LoraConfig(), GenerateConfig(per_class=1)):
        known = identity(config)
        assert isinstance(known, dict)
        assert not {"device", "checkpoint_every"} & set(known)


def test_planes_and_prompts_are_left_to_the_label_set() -> None:
    config = GenerateConfig(per_class=1)
    assert (config.planes, config.prompts) == (None, {})


def test_downsampling_follows_the_channels() -> None:
    assert PretrainConfig(vae_channels=(8, 8, 16)).latent_downsampling == 4


def test_a_size_is_a_square_or_width_and_height() -> None:
    assert GenerateConfig(per_class=1, image_size_px=48).size == (48, 48)
    assert GenerateConfig.model_validate({"per_class": 1, "image_size_px": [64, 48]}).size == (64, 48)


def test_one_sampler_or_several_in_turn() -> None:
    assert GenerateConfig(per_class=1).samplers == ("dpm++",)
    assert GenerateConfig.model_validate({"per_class": 1, "sampler": ["euler", "unipc"]}).samplers == ("euler", "unipc")


@pytest.mark.parametrize(
    ("kind", "values", "message"),
    [
        (PretrainConfig, {"vae_channels": (8, 12)}, "vae_channels are multiples of 8"),
        (PretrainConfig, {"unet_channels": (16, 24)}, "unet_channels of 16"),
        (PretrainConfig, {"caption_dropout": 1.5}, "less than or equal to 1"),
        (LoraConfig, {"rank": 0}, "greater than 0"),
        (LoraConfig, {"mask_channel": True, "sizes": "buckets"}, "mask_channel=true needs sizes=fixed"),
        (LoraConfig, {"text_encoder_learning_rate": -1}, "greater than or equal to 0"),
        (GenerateConfig, {"per_class": 1, "planes": ()}, "Tuple should have at least 1 item"),
        (GenerateConfig, {"per_class": 1, "planes": ("brain", "brain")}, "each plane is named once"),
        (GenerateConfig, {"per_class": 1, "image_size_px": 60}, "multiple of 8"),
        (GenerateConfig, {"per_class": 1, "image_size_px": (64, 60)}, "multiple of 8"),
        (GenerateConfig, {"per_class": 1, "image_size_px": 0}, "greater than 0"),
        (GenerateConfig, {"per_class": 1, "guidance_scale": 0.5}, "greater than or equal to 1"),
        (GenerateConfig, {"per_class": 1, "guidance_interval": (0.6, 0.6)}, "from 0.6 to 0.6 is nothing; give two"),
        (GenerateConfig, {"per_class": 1, "guidance_interval": (0.5, 0.2)}, "from 0.5 to 0.2 is nothing; give two"),
        (GenerateConfig, {"per_class": 1, "guidance_interval": (0.0, 1.1)}, "less than or equal to 1"),
        (GenerateConfig, {"per_class": 1, "start_strength": 0.0}, "greater than 0"),
        (
            GenerateConfig,
            {"per_class": 1, "start_strength": 0.15, "steps": 6},
            "start_strength=0.15 of steps=6 is less than one step",
        ),
        (GenerateConfig, {"per_class": 1, "sampler": ()}, "at least 1 item"),
        (GenerateConfig, {"per_class": 1, "sampler": ("euler", "heun")}, "'dpm\\+\\+', 'unipc', 'euler' or 'ddim'"),
        (GenerateConfig, {"per_class": 1, "lora_strength": -0.1}, "greater than or equal to 0"),
        (GenerateConfig, {"per_class": 1, "max_rejected": 1.5}, "less than or equal to 1"),
    ],
)
def test_values_out_of_range_are_refused(
    kind: type[PretrainConfig | LoraConfig | GenerateConfig], values: dict[str, object], message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        kind.model_validate(values)
