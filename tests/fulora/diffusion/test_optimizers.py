import sys
from pathlib import Path

import pytest
import torch

from fulora.config import ConfigError, validated
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training.optimizers import build_optimizer, learning_rate_factor


def optimizer_of(backbone: Path, cfg: LoraConfig) -> torch.optim.Optimizer:
    pipe = load_backbone(backbone)
    add_lora(pipe, cfg)
    return build_optimizer(pipe, cfg)


def test_unet_and_text_encoder_have_their_own_rates(backbone: Path) -> None:
    cfg = LoraConfig(unet_learning_rate=1e-4, text_encoder_learning_rate=5e-5, weight_decay=0.02)
    optimizer = optimizer_of(backbone, cfg)
    assert [(group["lr"], group["base_lr"], group["weight_decay"]) for group in optimizer.param_groups] == [
        (1e-4, 1e-4, 0.02),
        (5e-5, 5e-5, 0.02),
    ]
    assert optimizer.defaults["fused"]
    frozen = optimizer_of(backbone, LoraConfig(text_encoder_learning_rate=0))
    assert len(frozen.param_groups) == 1


@pytest.mark.parametrize(("name", "package"), [("adamw8bit", "bitsandbytes"), ("prodigy", "prodigyopt")])
def test_a_package_that_is_missing_is_named(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, name: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    monkeypatch.setitem(sys.modules, f"{package}.optim", None)
    cfg = LoraConfig(optimizer=name, text_encoder_learning_rate=0)  # type: ignore[arg-type]
    with pytest.raises(LoraError, match=rf"optimizer={name} needs {package} .*: pip install {package}"):
        optimizer_of(backbone, cfg)


def test_the_rate_rises_then_stays_or_falls() -> None:
    constant = LoraConfig(steps=10, warmup_steps=4)
    assert [learning_rate_factor(constant, step) for step in (0, 1, 3, 4, 9)] == [0.25, 0.5, 1, 1, 1]
    assert learning_rate_factor(LoraConfig(), 0) == 1
    cosine = LoraConfig(steps=10, warmup_steps=4, schedule="cosine")
    assert learning_rate_factor(cosine, 7) == pytest.approx(0.5)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"rank": 0}, r"rank: Input should be greater than 0 \(given: 0\)"),
        ({"batch_size": 4, "accumulation": 3}, "batch_size=4 cannot be done in accumulation=3 parts"),
        ({"resolution_px": 32}, "resolution_px=32 is less than bucket_step_px=64"),
        ({"warmup_steps": 400}, "warmup_steps=400 leaves nothing of steps=400"),
        (
            {"optimizer": "prodigy", "unet_learning_rate": 1},
            "set unet_learning_rate=1 and text_encoder_learning_rate=1",
        ),
        ({"optimiser": "adamw"}, "unknown key; did you mean 'optimizer'"),
    ],
)
def test_settings_that_cannot_work_together_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        validated(LoraConfig, values, where="settings")
