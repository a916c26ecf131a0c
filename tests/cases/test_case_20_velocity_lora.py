"""Case 20: a LoRA trained for velocity prediction, with a backbone that predicts noise and with one that fits."""

from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.loading import load_backbone
from pipelines.commands.lora import app

pytestmark = pytest.mark.real_data


def test_it_is_refused_unless_asked_for_and_inspect_shows_it(make_case: Callable[..., None], tmp_path: Path) -> None:
    make_case("20-v-lora-on-eps", tmp_path)
    lora, backbone = tmp_path / "kohya_v.safetensors", tmp_path / "sd2.safetensors"
    noise = load_backbone(backbone, architecture="sd2-base")
    with pytest.raises(LoraError, match=r"trained to predict velocity .*, and the backbone predicts noise \(epsilon\)"):
        load_lora(noise, lora, 1.0)
    load_lora(noise, lora, 1.0, any_base=True)
    load_lora(load_backbone(backbone, architecture="sd2-v"), lora, 1.0)
    shown = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["inspect", str(lora)])
    assert shown.exit_code == 0
    assert "velocity (v_prediction)" in shown.stdout
    assert "ss_v_parameterization=True" in shown.stdout
