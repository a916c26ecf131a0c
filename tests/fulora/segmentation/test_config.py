import subprocess
import sys

import pytest
from pydantic import ValidationError

from fulora.config import identity
from fulora.segmentation.config import STRATEGIES, UnetConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategy": "scratch", "encoder_weights": "imagenet"}, "starts from random weights"),
        ({"strategy": "random_frozen_encoder", "encoder_weights": "imagenet_folded"}, "set encoder_weights=none"),
        ({"strategy": "d0-4"}, "strategy=d0-4 freezes the encoder"),
        ({"strategy": "d4"}, "set strategy=random_frozen_encoder"),
        ({"strategy": "lora"}, "strategy=lora freezes the encoder"),
        ({"strategy": "norms"}, "strategy=norms freezes the encoder"),
        ({"encoder": "resnet18", "encoder_weights": "imagenet_folded"}, "is a mobilenet_v2, not a resnet18"),
        ({"image_size_px": 16}, "greater than or equal to 32"),
        ({"classes": 2}, "one structure against the background is classes=1"),
        ({"classes": 17}, "less than or equal to 16"),
        ({"batch_size": 1}, "greater than or equal to 2"),
        ({"architecture": "monai_basic_unet"}, "have no encoder of their own"),
        ({"encoder": "none"}, "all others need one"),
        ({"architecture": "monai_dynunet", "encoder": "none", "strategy": "encoder"}, "cannot be divided into parts"),
        ({"architecture": "fpn", "strategy": "d0", "encoder_weights": "file"}, "only a unet has the decoder blocks"),
        ({"architecture": "fpn", "deep_supervision": True}, "only a unet has the decoder blocks"),
        ({"steps": 5, "warmup_steps": 5}, "leaves nothing of steps=5"),
        ({"fold": [3, 3]}, "give which"),
        ({"fold": [0, 1]}, "give which"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UnetConfig.model_validate(values)


@pytest.mark.parametrize("name", STRATEGIES)
def test_every_strategy_has_a_start_that_it_accepts(name: str) -> None:
    weights = "none" if STRATEGIES[name].random_start else "imagenet"  # type: ignore[index]
    assert UnetConfig.model_validate({"strategy": name, "encoder_weights": weights}).strategy == name


def test_the_device_is_no_part_of_the_identity() -> None:
    assert identity(UnetConfig(device="cpu", checkpoint_every=7)) == identity(UnetConfig())


@pytest.mark.parametrize("module", ["config", "scores", "addition_config", "measurements"])
def test_it_needs_no_torch(module: str) -> None:
    code = f"import sys, fulora.segmentation.{module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_steps_of_epochs_are_checked_again() -> None:
    config = UnetConfig(steps=100, warmup_steps=50, epochs=1, batch_size=2)
    assert config.of(200).steps == 100
    with pytest.raises(ValueError, match=r"20 images .* are 10 steps: warmup_steps=50 leaves nothing of them"):
        config.of(20)


def test_outputs_follow_from_the_masks_unless_configured() -> None:
    assert (UnetConfig().outputs, UnetConfig().with_outputs(3).outputs, UnetConfig(classes=3).outputs) == (1, 3, 3)
    with pytest.raises(ValueError, match="classes=3, and these masks need 1; leave classes out, or set 1"):
        UnetConfig(classes=3).with_outputs(1)
