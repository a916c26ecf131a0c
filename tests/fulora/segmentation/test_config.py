import subprocess
import sys

import pytest
from pydantic import ValidationError

from fulora.config import identity
from fulora.segmentation.config import UnetConfig


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"strategy": "scratch", "encoder_weights": "imagenet"}, "starts from random weights"),
        ({"strategy": "random_frozen_encoder", "encoder_weights": "imagenet_folded"}, "set encoder_weights=none"),
        ({"strategy": "d0-4"}, "strategy=d0-4 freezes the encoder"),
        ({"strategy": "d4"}, "ask for strategy=random_frozen_encoder"),
        ({"encoder": "resnet18", "encoder_weights": "imagenet_folded"}, "is a mobilenet_v2, not a resnet18"),
        ({"image_size_px": 100}, "multiple of 32"),
        ({"classes": 2}, "1 or 3"),
        ({"batch_size": 1}, "greater than or equal to 2"),
    ],
)
def test_what_makes_no_sense_is_refused(values: dict[str, object], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        UnetConfig.model_validate(values)


def test_the_device_is_no_part_of_the_identity() -> None:
    assert identity(UnetConfig(device="cpu", checkpoint_every=7)) == identity(UnetConfig())


def test_the_config_needs_no_torch() -> None:
    code = "import sys, fulora.segmentation.config; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0
