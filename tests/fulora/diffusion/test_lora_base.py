"""Which backbone a LoRA was trained for: refused with another, unless asked for, and shown by `inspect`."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from generation_run import inputs, lora_file
from safetensors.torch import load_file, save_file

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora
from fulora.diffusion.lora.base_model import describe_alpha
from fulora.diffusion.lora.files import load_lora, save_lora
from fulora.diffusion.lora.inspect import inspect_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.inputs import lora_source
from fulora.diffusion.sampling.recipe import LoraUsed

Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"


def kohya(path: Path, header: dict[str, str], alpha: float | None = 2.0, size: int = 32) -> Path:
    random = torch.Generator().manual_seed(0)
    tensors = {
        f"{Q}.lora_down.weight": torch.randn(2, size, generator=random),
        f"{Q}.lora_up.weight": torch.randn(size, 2, generator=random),
    }
    save_file(tensors | ({} if alpha is None else {f"{Q}.alpha": torch.tensor(alpha)}), path, header or None)
    return path


def pipe_of(backbone: Path, prediction: str, zero_snr: bool = False) -> Any:
    pipe = load_backbone(backbone)
    pipe.scheduler = type(pipe.scheduler).from_config(
        pipe.scheduler.config, prediction_type=prediction, rescale_betas_zero_snr=zero_snr
    )
    return pipe


VELOCITY = [
    {"ss_v_parameterization": "True"},
    {"modelspec.prediction_type": "v"},
    {"modelspec.prediction_type": "v_prediction"},
    {"ss_base_model_version": "sd_v1_v"},
]
NOISE = [
    {"ss_v_parameterization": "False"},
    {"modelspec.prediction_type": "epsilon"},
    {"ss_base_model_version": "sd_v1"},
]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("header", "trained", "other"),
    [*((one, "v_prediction", "epsilon") for one in VELOCITY), *((one, "epsilon", "v_prediction") for one in NOISE)],
)
def test_another_prediction_type_is_refused_unless_asked_for(
    backbone: Path, tmp_path: Path, header: dict[str, str], trained: str, other: str, capsys: Any
) -> None:
    path = kohya(tmp_path / "l.safetensors", header)
    assert inspect_lora(path)["prediction_type"] == trained
    load_lora(pipe_of(backbone, trained), path, 1.0)
    pipe = pipe_of(backbone, other)
    before = {name: weight.clone() for name, weight in pipe.unet.state_dict().items()}
    with pytest.raises(LoraError, match=rf"trained to predict .*\({trained}\).*{next(iter(header))}.*--any-base uses"):
        load_lora(pipe, path, 1.0)
    assert all(torch.equal(before[name], weight) for name, weight in pipe.unet.state_dict().items())
    load_lora(pipe, path, 1.0, any_base=True)
    assert "l.safetensors is used nevertheless (--any-base): it was trained to predict" in capsys.readouterr().err
    assert not all(torch.equal(before[name], weight) for name, weight in pipe.unet.state_dict().items())


def test_a_lora_trained_here_says_what_it_was_trained_to_predict(backbone: Path, tmp_path: Path) -> None:
    path = tmp_path / "ours.safetensors"
    pipe = pipe_of(backbone, "v_prediction", zero_snr=True)
    add_lora(pipe, LoraConfig(rank=2, alpha=2))
    save_lora(pipe, path)
    header = read_lora(path).metadata
    assert (header["ss_v_parameterization"], header["ss_zero_terminal_snr"]) == ("True", "True")
    own = json.loads(header["fulora"])
    assert (own["prediction_type"], own["zero_terminal_snr"]) == ("v_prediction", True)
    facts = inspect_lora(path)
    assert (facts["prediction_type"], facts["zero_terminal_snr"]) == ("v_prediction", True)
    with pytest.raises(LoraError, match=r"trained to predict velocity \(v_prediction\), by fulora's prediction_type"):
        load_lora(load_backbone(backbone), path, 1.0)
    plain = lora_file(backbone, tmp_path / "plain.safetensors")
    assert not {"ss_v_parameterization", "ss_zero_terminal_snr"} & read_lora(plain).metadata.keys()
    with pytest.raises(LoraError, match=r"trained to predict noise \(epsilon\), by fulora's prediction_type"):
        load_lora(pipe_of(backbone, "v_prediction"), plain, 1.0)


def test_another_end_of_the_noise_schedule_is_noted(backbone: Path, tmp_path: Path, capsys: Any) -> None:
    path = kohya(tmp_path / "l.safetensors", {"ss_v_parameterization": "True", "ss_zero_terminal_snr": "True"})
    load_lora(pipe_of(backbone, "v_prediction"), path, 1.0)
    assert "trained with zero terminal SNR, and the backbone has none" in capsys.readouterr().err
    load_lora(pipe_of(backbone, "v_prediction", zero_snr=True), path, 1.0)
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize(
    ("header", "family"),
    [
        ({"ss_v2": "True"}, "sd2"),
        ({"ss_base_model_version": "sdxl_base_v1-0"}, "sdxl"),
        ({"modelspec.architecture": "stable-diffusion-xl-v1-base/lora"}, "sdxl"),
        ({"modelspec.architecture": "stable-diffusion-3-medium/lora"}, "sd3"),
        ({"fulora": json.dumps({"architecture": "sd2"})}, "sd2"),
    ],
)
def test_another_family_is_refused_though_the_layers_fit(
    backbone: Path, tmp_path: Path, header: dict[str, str], family: str
) -> None:
    path = kohya(tmp_path / "l.safetensors", header)
    with pytest.raises(LoraError, match=rf"it was trained for {family} \(.*\), and the backbone is sd1"):
        load_lora(load_backbone(backbone), path, 1.0)


def test_the_family_of_layers_that_do_not_fit_is_named(backbone: Path, tmp_path: Path) -> None:
    key = Q.replace("attn1_to_q", "attn2_to_k")
    save_file(
        {f"{key}.lora_down.weight": torch.ones(2, 1024), f"{key}.lora_up.weight": torch.ones(32, 2)},
        tmp_path / "l.safetensors",
    )
    with pytest.raises(LoraError, match="another architecture; it is a LoRA of sd2, and the backbone is sd1"):
        load_lora(load_backbone(backbone), tmp_path / "l.safetensors", 1.0)


def test_a_header_that_contradicts_itself_is_refused_and_shown(backbone: Path, tmp_path: Path) -> None:
    header = {"ss_v_parameterization": "True", "modelspec.prediction_type": "epsilon"}
    path = kohya(tmp_path / "l.safetensors", header)
    assert inspect_lora(path)["prediction_type"] == "contradictory"
    with pytest.raises(LoraError, match=r"what it predicts is contradictory: modelspec\.prediction_type=epsilon"):
        load_lora(load_backbone(backbone), path, 1.0)


@pytest.mark.parametrize(
    ("key", "model"),
    [
        ("lora_unet_double_blocks_0_img_attn_proj.lora_down.weight", "Flux"),
        ("transformer.single_transformer_blocks.0.attn.to_q.lora_A.weight", "Flux"),
        ("lora_unet_joint_blocks_0_x_block_attn_proj.lora_down.weight", "Stable Diffusion 3"),
        ("lora_te3_encoder_block_0_layer_0_SelfAttention_k.lora_down.weight", "Flux or Stable Diffusion 3"),
        ("transformer.transformer_blocks.0.attn.to_q.lora_A.weight", "a transformer, such as Flux"),
    ],
)
def test_a_lora_of_another_kind_of_model_is_named(tmp_path: Path, key: str, model: str) -> None:
    save_file({key: torch.ones(2, 2)}, tmp_path / "l.safetensors")
    with pytest.raises(LoraError, match=f"no LoRA of a Stable Diffusion with a UNet, but one of {model}"):
        read_lora(tmp_path / "l.safetensors")


def test_what_was_asked_for_is_in_the_recipe_and_nothing_where_it_was_not(tmp_path: Path) -> None:
    path = kohya(tmp_path / "l.safetensors", {})
    assert lora_source(path, 1.0, any_base=True).used.model_dump(mode="json")["any_base"] is True
    plain = lora_source(path, 1.0).used.model_dump(mode="json")
    assert set(plain) == {"name", "digest", "strength", "text_strength"}
    assert LoraUsed.model_validate(plain).any_base is False


def test_ingredients_use_a_lora_as_it_was_asked_for(backbone: Path, tmp_path: Path) -> None:
    path = kohya(tmp_path / "l.safetensors", {"ss_v_parameterization": "True"})
    with pytest.raises(LoraError, match="trained to predict velocity"):
        inputs(backbone, loras=(lora_source(path, 1.0),)).load()
    inputs(backbone, loras=(lora_source(path, 1.0, any_base=True),)).load()


# --- alpha


def test_a_header_s_alpha_is_not_used_in_silence(tmp_path: Path) -> None:
    """All tools take a missing alpha to be the rank, whatever kohya's header says."""
    path = kohya(tmp_path / "l.safetensors", {"ss_network_alpha": "1"}, alpha=None)
    lora, facts = read_lora(path), inspect_lora(path)
    assert {module.alpha for module in lora.modules.values()} == {2.0}
    assert (facts["alpha_known"], facts["alpha_from"]) == (False, {"rank": 1})
    said = "1 of 1 layers have no alpha: it is taken to be the rank, as all tools do, though the header says ss_network"
    assert facts["about_alpha"].startswith(said)


def test_alpha_of_some_layers_is_not_alpha_of_all(tmp_path: Path) -> None:
    tensors = load_file(kohya(tmp_path / "l.safetensors", {}))
    other = {key.replace("to_q", "to_k"): weight.clone() for key, weight in tensors.items() if "alpha" not in key}
    save_file(tensors | other, tmp_path / "two.safetensors")
    facts = inspect_lora(tmp_path / "two.safetensors")
    assert (facts["alpha_known"], facts["alpha_from"]) == (False, {"rank": 1, "tensor": 1})
    assert facts["about_alpha"] == "1 of 2 layers have no alpha: it is taken to be the rank, as all tools do"


@pytest.mark.parametrize(("header", "said"), [("1", True), ("2.0", False), ("many", True)])
def test_a_header_that_no_layer_agrees_with_is_noted(tmp_path: Path, header: str, said: bool) -> None:
    lora = read_lora(kohya(tmp_path / "l.safetensors", {"ss_network_alpha": header}))
    expected = f"that of the layers is used (2), not the header's ss_network_alpha={header}" if said else ""
    assert describe_alpha(lora) == expected
