"""LoRAs as peft saves them: read with their settings, or named for what they are."""

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from generation_run import lora_file
from peft import LoraConfig as Adapter
from peft import get_peft_model
from safetensors.torch import load_file

from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.inspect import inspect_lora
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.read import read_lora
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.inputs import lora_source

TARGETS = {"unet": ["to_q", "to_k", "to_v"], "text_encoder": ["q_proj", "v_proj"]}


def saved(backbone: Path, folder: Path, part: str = "unet", **settings: Any) -> tuple[Path, torch.nn.Module]:
    """A folder that peft itself wrote, and its network with the LoRA merged by peft."""
    torch.manual_seed(0)
    config = Adapter(r=2, lora_alpha=6, target_modules=TARGETS[part], init_lora_weights=False, **settings)
    with warnings.catch_warnings():  # peft asks transformers by an older name
        warnings.simplefilter("ignore", FutureWarning)
        model = get_peft_model(getattr(load_backbone(backbone), part), config)
    model.save_pretrained(folder)
    merged: torch.nn.Module = model.merge_and_unload()
    return folder, merged


def rewritten(folder: Path, **values: Any) -> Path:
    path = folder / "adapter_config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | values))
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("settings", [{}, {"use_rslora": True}, {"use_dora": True}, {"alpha_pattern": {".*q.*": 1.0}}])
@pytest.mark.parametrize("part", ["unet", "text_encoder"])
def test_a_folder_of_peft_is_what_peft_makes_of_it(
    backbone: Path, tmp_path: Path, part: str, settings: dict[str, Any]
) -> None:
    folder, merged = saved(backbone, tmp_path / "peft", part, **settings)
    pipe = load_backbone(backbone)
    plain = {name: weight.clone() for name, weight in getattr(pipe, part).state_dict().items()}
    load_lora(pipe, folder, 1.0)
    found = getattr(pipe, part).state_dict()
    assert all(torch.allclose(found[name], weight, atol=1e-5) for name, weight in merged.state_dict().items())
    assert not all(torch.equal(found[name], plain[name]) for name in plain)


def test_it_is_inspected_and_known_by_weights_and_settings(backbone: Path, tmp_path: Path) -> None:
    folder, _ = saved(backbone, tmp_path / "peft")
    rewritten(folder, base_model_name_or_path="owner/base")
    facts = inspect_lora(folder)
    assert (facts["format"], facts["base_model"], facts["alpha_from"]) == ("peft", "owner/base", {"header": 24})
    assert facts["parts"]["unet"]["alphas"] == {"6": facts["layers"]}
    before = lora_source(folder / "adapter_model.safetensors", 1.0).used.digest
    rewritten(folder, lora_alpha=12)
    assert lora_source(folder / "adapter_model.safetensors", 1.0).used.digest != before


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"peft_type": "LOHA"}, "says peft_type=LOHA: only LORA can be used"),
        ({"init_lora_weights": "pissa_niter_4"}, "says init_lora_weights=pissa_niter_4, which changes the base"),
        ({"init_lora_weights": "olora"}, "changes the base's own weights"),
        ({"auto_mapping": {"base_model_class": "FluxTransformer2DModel"}}, "is of a FluxTransformer2DModel; only"),
        ({"auto_mapping": None, "task_type": "CAUSAL_LM"}, "an adapter of a language model"),
    ],
)
def test_settings_of_something_else_are_refused(
    backbone: Path, tmp_path: Path, values: dict[str, Any], message: str
) -> None:
    folder, _ = saved(backbone, tmp_path / "peft")
    with pytest.raises(LoraError, match=message):
        read_lora(rewritten(folder, **values))


@pytest.mark.parametrize(("content", "message"), [("{", "is not JSON"), ("{}", "has no lora_alpha")])
def test_settings_that_cannot_be_read_are_refused(backbone: Path, tmp_path: Path, content: str, message: str) -> None:
    folder, _ = saved(backbone, tmp_path / "peft")
    (folder / "adapter_config.json").write_text(content)
    with pytest.raises(LoraError, match=message):
        read_lora(folder)


def test_weights_without_their_settings_are_refused(backbone: Path, tmp_path: Path) -> None:
    folder, _ = saved(backbone, tmp_path / "peft")
    (folder / "adapter_config.json").unlink()
    with pytest.raises(LoraError, match=r"peft's names, and without adapter_config\.json beside it alpha is not known"):
        read_lora(folder / "adapter_model.safetensors")


def test_a_folder_with_a_pickle_alone_names_it(backbone: Path, tmp_path: Path) -> None:
    folder, _ = saved(backbone, tmp_path / "peft")
    path = folder / "adapter_model.safetensors"
    torch.save(load_file(path), folder / "adapter_model.bin")
    path.unlink()
    with pytest.raises(
        LoraError, match=r"adapter_model\.bin cannot be read: .* can run any code; convert it to \.safe"
    ):
        read_lora(folder)
    (folder / "adapter_model.bin").unlink()
    with pytest.raises(LoraError, match=r"a folder of peft, and adapter_model\.safetensors is not in it"):
        read_lora(folder)


def test_folders_of_peft_in_a_folder_are_named(backbone: Path, tmp_path: Path) -> None:
    for part in TARGETS:
        saved(backbone, tmp_path / "both" / part, part)
    with pytest.raises(LoraError, match="holds folders of peft, which are given one by one: text_encoder, unet"):
        read_lora(tmp_path / "both")


def test_folders_of_diffusers_and_fulora_are_their_file(backbone: Path, tmp_path: Path) -> None:
    for name in ("lora.safetensors", "pytorch_lora_weights.safetensors"):
        lora_file(backbone, tmp_path / name / name)
        assert read_lora(tmp_path / name).modules
    with pytest.raises(LoraError, match=r"lora\.safetensors: there is no such LoRA file"):
        read_lora(tmp_path)


@pytest.mark.parametrize("name", ["lora.pt", "lora.ckpt", "lora.safetensors"])
def test_a_pickle_is_named_for_what_it_is(tmp_path: Path, name: str) -> None:
    torch.save({"lora_unet_x.lora_up.weight": torch.ones(2, 2)}, tmp_path / name)
    with pytest.raises(LoraError, match=r"not a LoRA file: only \.safetensors files are read: a pickle"):
        read_lora(tmp_path / name)
