import csv
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from diffusers.loaders.lora_conversion_utils import (
    _convert_non_diffusers_lora_to_diffusers,
    _convert_unet_lora_key,
    _maybe_map_sgm_blocks_to_diffusers,
)
from diffusers.utils import convert_state_dict_to_diffusers, convert_state_dict_to_kohya
from peft import LoraConfig as Adapter
from peft.utils import get_peft_model_state_dict
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.lora.files import FILE, convert_lora, load_lora, save_lora
from fulora.diffusion.lora.inspect import inspect_lora
from fulora.diffusion.lora.layer_names import kohya_name, parse_key
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.metadata import build_metadata
from fulora.diffusion.lora.read import ADAPTER, read_lora
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.lora.weights import Lora, LoraModule, extract_lora
from fulora.diffusion.lora.write import write_lora
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import load_backbone, quiet

pytestmark = pytest.mark.slow

CONFIG = LoraConfig(rank=2, alpha=6, licence="cc-by-4.0")
KINDS: dict[str, dict[str, Any]] = {
    "plain": {},
    "rslora": {"rslora": True},
    "dora": {"dora": True},
    "dora and rslora": {"dora": True, "rslora": True},
    "unet alone": {"text_encoder_learning_rate": 0.0},
    "attention alone": {"target": "attention"},
}


def like(**changes: Any) -> LoraConfig:
    return CONFIG.model_copy(update=changes)


def trained(pipe: Pipeline, cfg: LoraConfig = CONFIG) -> Any:
    """The pipeline with a LoRA that does something."""
    add_lora(pipe, cfg)
    return disturbed(pipe)


@torch.no_grad()
def disturbed(pipe: Any) -> Any:
    random = torch.Generator().manual_seed(0)
    for parameter in all_lora_parameters(pipe):
        parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    return pipe


def picture(pipe: Any) -> np.ndarray:
    drawn = pipe(
        "a photo of fetal brain",
        height=32,
        width=32,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
    )
    images: np.ndarray = drawn.images
    return images


def difference(first: Any, second: Any) -> float:
    return float(abs(picture(first) - picture(second)).max())


def loaded_by_diffusers(pipe: Any, path: Path) -> Any:
    """As a user loads it, who has diffusers alone."""
    with quiet():
        pipe.load_lora_weights(path.parent, weight_name=path.name)
    return pipe


def header(path: Path) -> dict[str, str]:
    with safe_open(path, "pt") as file:
        return dict(file.metadata() or {})


def numbers(seed: int, *shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


# --- what fulora writes, in a plain pipeline of diffusers and in fulora


@pytest.mark.parametrize("format", ["diffusers", "kohya"])
@pytest.mark.parametrize("kind", KINDS)
def test_both_formats_give_the_pictures_of_the_unfused_training_pipeline(
    backbone: Path, tmp_path: Path, kind: str, format: Any
) -> None:
    cfg = like(**KINDS[kind])
    pipe = trained(load_backbone(backbone), cfg)
    save_lora(pipe, tmp_path / FILE, format=format)
    assert difference(pipe, load_backbone(backbone)) > 0.05
    if not (format == "kohya" and cfg.dora):  # see the next test
        assert difference(pipe, loaded_by_diffusers(load_backbone(backbone), tmp_path / FILE)) < 1e-5
    fused = load_backbone(backbone)
    load_lora(fused, tmp_path / FILE, 1.0)
    assert not hasattr(fused.unet, "peft_config")
    assert difference(pipe, fused) < 1e-5


def test_diffusers_leaves_dora_out_of_kohya_files_and_reads_it_when_converted(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(dora=True))
    save_lora(pipe, tmp_path / "kohya.safetensors", format="kohya")
    theirs = loaded_by_diffusers(load_backbone(backbone), tmp_path / "kohya.safetensors")
    assert not any("magnitude" in name for name, _ in theirs.unet.named_parameters())
    convert_lora(tmp_path / "kohya.safetensors", tmp_path / FILE, format="diffusers")
    assert difference(pipe, loaded_by_diffusers(load_backbone(backbone), tmp_path / FILE)) < 1e-5


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_published_architectures_load_in_diffusers_from_both_formats(
    tmp_path: Path, architecture: Any, shallow_sdxl: None
) -> None:
    pipe = build(architecture, tmp_path / "tokenizers", small=True, seed=0)
    plain = picture(pipe)
    expected = picture(trained(pipe))
    assert abs(expected - plain).max() > 0.05
    for format, prefix in (("diffusers", "unet."), ("kohya", "lora_unet_")):
        path = tmp_path / format / FILE
        save_lora(pipe, path, format=format)  # type: ignore[arg-type]
        counts = {part: len(found) for part, found in read_lora(path).parts().items()}
        assert (
            counts
            == {
                "sd1": {"unet": 192, "text_encoder": 72},
                "sdxl": {"unet": 11 * 12, "text_encoder": 3 * 6, "text_encoder_2": 3 * 6},
            }[architecture]
        )
        assert any(key.startswith(prefix) for key in load_file(path))
    pipe.unload_lora_weights()
    assert abs(picture(pipe) - plain).max() == 0
    for format in ("diffusers", "kohya"):
        loaded_by_diffusers(pipe, tmp_path / format / FILE)
        assert abs(picture(pipe) - expected).max() < 1e-5
        pipe.unload_lora_weights()
    load_lora(pipe, tmp_path / "kohya" / FILE, 1.0)
    assert abs(picture(pipe) - expected).max() < 1e-5


@pytest.mark.parametrize("dora", [False, True])
def test_strength_scales_as_diffusers_does(backbone: Path, tmp_path: Path, dora: bool) -> None:
    save_lora(trained(load_backbone(backbone), like(dora=dora)), tmp_path / FILE)
    base = load_backbone(backbone).unet.state_dict()
    for strength in (0.0, 0.5, 2.0):
        ours, theirs = load_backbone(backbone), loaded_by_diffusers(load_backbone(backbone), tmp_path / FILE)
        load_lora(ours, tmp_path / FILE, strength)
        theirs.fuse_lora(lora_scale=strength)
        theirs.unload_lora_weights()
        for part in ("unet", "text_encoder"):
            found, expected = getattr(ours, part).state_dict(), getattr(theirs, part).state_dict()
            assert all(torch.allclose(found[name], expected[name], atol=2e-6) for name in expected)
        if strength == 0 and not dora:
            assert all(torch.equal(weight, base[name]) for name, weight in ours.unet.state_dict().items())


@pytest.mark.parametrize("format", ["diffusers", "kohya"])
def test_unet_and_text_encoder_have_strengths_of_their_own(backbone: Path, tmp_path: Path, format: Any) -> None:
    save_lora(trained(load_backbone(backbone)), tmp_path / FILE, format=format)
    base = load_backbone(backbone)
    for unet, text in ((0.5, 1.5), (0.0, 1.0), (1.0, 0.0)):
        mine, theirs = load_backbone(backbone), loaded_by_diffusers(load_backbone(backbone), tmp_path / FILE)
        load_lora(mine, tmp_path / FILE, unet, text)
        theirs.fuse_lora(components=["unet"], lora_scale=unet)
        theirs.fuse_lora(components=["text_encoder"], lora_scale=text)
        theirs.unload_lora_weights()
        for part, strength in (("unet", unet), ("text_encoder", text)):
            found, expected = getattr(mine, part).state_dict(), getattr(theirs, part).state_dict()
            assert all(torch.allclose(found[name], expected[name], atol=2e-6) for name in expected)
            plain = getattr(base, part).state_dict()
            assert all(torch.equal(found[name], plain[name]) for name in plain) == (strength == 0)


@pytest.mark.filterwarnings("ignore:Already found a `peft_config`:UserWarning")
def test_several_loras_in_turn_are_the_sum_that_peft_makes_of_them(backbone: Path, tmp_path: Path) -> None:
    """`set_adapters` of diffusers, each LoRA with weights of its own for UNet and text encoder, unfused."""
    paths = {name: tmp_path / f"{name}.safetensors" for name in ("first", "second", "third")}
    for rank, path in enumerate(paths.values(), 2):
        save_lora(trained(load_backbone(backbone), like(rank=rank, alpha=4 + rank)), path)
    strengths = {"first": (0.7, 0.2), "second": (0.4, 1.3), "third": (1.1, 0.0)}
    theirs = load_backbone(backbone)
    with quiet():
        for name, path in paths.items():
            theirs.load_lora_weights(tmp_path, weight_name=path.name, adapter_name=name)
    theirs.set_adapters(list(paths), [{"unet": u, "text_encoder": t} for u, t in strengths.values()])
    forth, back = load_backbone(backbone), load_backbone(backbone)
    for pipe, names in ((forth, list(paths)), (back, list(paths)[::-1])):
        for name in names:
            load_lora(pipe, paths[name], *strengths[name])
    assert difference(forth, theirs) < 1e-5
    assert difference(back, theirs) < 1e-5
    theirs.set_adapters(["first", "second"], [{"unet": u, "text_encoder": t} for u, t in list(strengths.values())[:2]])
    assert difference(forth, theirs) > 0.01


def test_a_convolution_of_3_by_3_is_fused_as_peft_does(backbone: Path, tmp_path: Path) -> None:
    for dora in (False, True):
        pipe = load_backbone(backbone)
        pipe.unet.add_adapter(Adapter(r=2, lora_alpha=6, use_dora=dora, target_modules=["conv1", "proj_in"]))
        pipe.text_encoder.requires_grad_(False)
        for name, parameter in pipe.unet.named_parameters():
            parameter.requires_grad_("lora_" in name)
        disturbed(pipe)
        save_lora(pipe, tmp_path / FILE, format="kohya")
        assert any(value.shape[2:] == (3, 3) for value in load_file(tmp_path / FILE).values())
        fused = load_backbone(backbone)
        load_lora(fused, tmp_path / FILE, 1.0)
        assert difference(fused, pipe) < 1e-5
        assert difference(fused, load_backbone(backbone)) > 0.01


def test_ranks_and_alphas_of_each_layer_survive(backbone: Path, tmp_path: Path) -> None:
    pipe = load_backbone(backbone)
    for model, last in (
        (pipe.unet, "mid_block.attentions.0.transformer_blocks.0.attn1.to_q"),
        (pipe.text_encoder, "encoder.layers.1.self_attn.q_proj"),
    ):
        model.requires_grad_(False)
        targets = ["to_q", "q_proj", "k_proj"]
        ranks, alphas = {last: 4}, {last: 1.5}
        model.add_adapter(Adapter(r=2, lora_alpha=6, rank_pattern=ranks, alpha_pattern=alphas, target_modules=targets))
    disturbed(pipe)
    for format in ("diffusers", "kohya"):
        save_lora(pipe, tmp_path / FILE, format=format)  # type: ignore[arg-type]
        modules = read_lora(tmp_path / FILE).modules
        sizes = Counter((module.rank, module.alpha) for module in modules.values())
        assert sizes == {(2, 6.0): len(modules) - 2, (4, 1.5): 2}
        fused = load_backbone(backbone)
        load_lora(fused, tmp_path / FILE, 1.0)
        assert difference(pipe, fused) < 1e-5
        if format == "diffusers":  # of a kohya file, 0.42 does not find the layers whose alpha is not that of most
            assert difference(pipe, loaded_by_diffusers(load_backbone(backbone), tmp_path / FILE)) < 1e-5


# --- names of keys


def published_modules() -> dict[str, tuple[int, int, bool]]:
    """kohya's modules of SD 1.5 by the rules of its makers: (in, out, whether it is a convolution)."""
    modules: dict[str, tuple[int, int, bool]] = {}
    places = [(f"down_blocks_{b}_attentions_{a}", (320, 640, 1280)[b]) for b in range(3) for a in range(2)]
    places += [("mid_block_attentions_0", 1280)]
    places += [(f"up_blocks_{b}_attentions_{a}", (0, 1280, 640, 320)[b]) for b in (1, 2, 3) for a in range(3)]
    for place, width in places:
        for end in ("in", "out"):
            modules[f"lora_unet_{place}_proj_{end}"] = (width, width, True)
        block = f"lora_unet_{place}_transformer_blocks_0"
        for attention, context in (("attn1", width), ("attn2", 768)):
            for end, columns in (("q", width), ("k", context), ("v", context), ("out_0", width)):
                modules[f"{block}_{attention}_to_{end}"] = (columns, width, False)
        modules[f"{block}_ff_net_0_proj"] = (width, 8 * width, False)
        modules[f"{block}_ff_net_2"] = (4 * width, width, False)
    for layer in range(12):
        name = f"lora_te_text_model_encoder_layers_{layer}"
        modules |= {f"{name}_self_attn_{end}_proj": (768, 768, False) for end in ("q", "k", "v", "out")}
        modules |= {f"{name}_mlp_fc1": (768, 3072, False), f"{name}_mlp_fc2": (3072, 768, False)}
    return modules


def published_file(path: Path, rank: int = 1) -> dict[str, Tensor]:
    """A file of the keys, shapes, precision and header of `fetal_ultrasound_v1.0.safetensors`, of another rank."""
    tensors = {}
    for seed, (name, (columns, rows, convolution)) in enumerate(published_modules().items()):
        kernel = (1, 1) if convolution else ()
        tensors[f"{name}.lora_down.weight"] = numbers(seed, rank, columns, *kernel).half()
        tensors[f"{name}.lora_up.weight"] = numbers(seed + 1000, rows, rank, *kernel).half()
        if "encoder_layers_11" in name:
            tensors[f"{name}.lora_up.weight"].zero_()  # clip skip 2: the last layer never learned
        tensors[f"{name}.alpha"] = torch.tensor(0.5).half()
    captions = {"20_brain": {"a photo of fetal brain": 20}, "20_femur": {"a photo of fetal femur": 20}}
    metadata = {
        "ss_network_dim": "1",
        "ss_clip_skip": "2",
        "ss_tag_frequency": json.dumps(captions),
        "sshs_model_hash": "of another file",
        "ss_sd_model_name": "v1-5-pruned.safetensors",
    }
    save_file(tensors, path, metadata)
    return tensors


def test_kohyas_keys_of_stable_diffusion_1_5_are_the_264_published_ones(tmp_path: Path) -> None:
    with torch.device("meta"):
        pipe = build("sd1", tmp_path, small=False, seed=0)
    add_lora(pipe, like(rank=1))
    shapes: dict[str, dict[str, torch.Size]] = {}
    for part, model in (("unet", pipe.unet), ("text_encoder", pipe.text_encoder)):
        for key, value in get_peft_model_state_dict(model).items():
            name, role = parse_key(f"{part}.{key}") or ("", "")
            shapes.setdefault(kohya_name(name, sdxl=False), {})[role] = value.shape
    found = {name: (of["down"][1], of["up"][0], of["down"][2:] == (1, 1)) for name, of in shapes.items()}
    assert found == published_modules()
    assert len(found) == 264


@pytest.mark.real_data
def test_the_rules_of_this_test_are_the_reference_table(data_root: Path) -> None:
    table = data_root.parent / "reference" / "kohya_sd15_lora_modules.tsv"
    if not table.is_file():
        pytest.skip("no reference table")
    with table.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file, delimiter="\t"))
    listed = {r["module"]: (int(r["in_features"]), int(r["out_features"]), r["kind"] == "conv1x1") for r in rows}
    assert listed == published_modules()


def test_a_file_as_published_is_read_inspected_converted_and_comes_back_bit_by_bit(tmp_path: Path) -> None:
    tensors = published_file(tmp_path / "published.safetensors")
    assert len(tensors) == 792
    facts = inspect_lora(tmp_path / "published.safetensors")
    assert (facts["format"], facts["architecture"], facts["layers"]) == ("kohya", "sd1", 264)
    assert (facts["alpha_known"], facts["rslora"], facts["dora"]) == (True, False, False)
    assert facts["parameters"] == sum(tensor.numel() for key, tensor in tensors.items() if "alpha" not in key)
    assert facts["captions"] == {"a photo of fetal brain": 20, "a photo of fetal femur": 20}
    assert facts["settings"]["clip_skip"] == "2"
    unet, text = facts["parts"]["unet"], facts["parts"]["text_encoder"]
    assert (unet["layers"], unet["ranks"], unet["alphas"]) == (192, {"1": 192}, {"0.5": 192})
    assert unet["precisions"] == {"float16": 192}
    assert not unet["zero_up"]
    assert len(text["zero_up"]) == 6
    assert all("layers.11." in name for name in text["zero_up"])

    convert_lora(tmp_path / "published.safetensors", tmp_path / "diffusers.safetensors", format="diffusers")
    convert_lora(tmp_path / "diffusers.safetensors", tmp_path / "back.safetensors", format="kohya")
    back = load_file(tmp_path / "back.safetensors")
    assert back.keys() == tensors.keys()
    assert all(torch.equal(back[key], tensors[key]) and back[key].dtype == torch.float16 for key in tensors)
    assert inspect_lora(tmp_path / "back.safetensors")["hashes"]["lora_hash"] == facts["hashes"]["lora_hash"]

    said = header(tmp_path / "back.safetensors")
    assert said["ss_sd_model_name"] == "v1-5-pruned.safetensors"
    assert said["sshs_model_hash"] == facts["hashes"]["data_sha256"]
    assert "sshs_model_hash" not in header(tmp_path / "diffusers.safetensors")
    assert ADAPTER not in said  # diffusers refuses a file that has alphas both as tensors and in the header


def test_kohyas_names_are_those_of_diffusers_own_converter_but_for_its_prefix_and_alpha(backbone: Path) -> None:
    pipe = trained(load_backbone(backbone))
    states = {"unet": pipe.unet, "text_encoder": pipe.text_encoder}
    peft = {f"{part}.{key}": v for part, model in states.items() for key, v in get_peft_model_state_dict(model).items()}
    theirs = convert_state_dict_to_kohya(peft)
    ours = {}
    for name, module in extract_lora(pipe).modules.items():
        key = kohya_name(name, sdxl=False).replace(
            "lora_te_text_model_", "lora_te1_"
        )  # transformers 5 has no text_model
        ours |= {f"{key}.lora_down.weight": module.down, f"{key}.lora_up.weight": module.up}
    assert {key: value.tolist() for key, value in theirs.items() if not key.endswith(".alpha")} == {
        key: value.tolist() for key, value in ours.items()
    }


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_every_layer_has_one_name_in_kohyas_format_and_comes_back(tmp_path: Path, architecture: Any) -> None:
    pipe = build(architecture, tmp_path, small=True, seed=0)
    sdxl = architecture == "sdxl"
    kinds = (torch.nn.Linear, torch.nn.Conv2d)
    outside = ("time_embedding", "add_embedding", "conv_in", "conv_out") if sdxl else ()
    layers = [
        f"unet.{name}"
        for name, module in pipe.unet.named_modules()
        if isinstance(module, kinds) and not name.startswith(outside)
    ]
    names = {name: kohya_name(name, sdxl=sdxl) for name in layers}
    assert len(set(names.values())) == len(layers) > 200
    assert all(parse_key(f"{kohya}.lora_down.weight") == (name, "down") for name, kohya in names.items())
    theirs = {f"{kohya}.lora_down.weight": name for name, kohya in names.items()}
    if sdxl:
        assert any("input_blocks_4_1_" in key for key in theirs)
        theirs = _maybe_map_sgm_blocks_to_diffusers(theirs, pipe.unet.config)
    assert {parse_key(f"unet.{_convert_unet_lora_key(key)}") for key in theirs} == {(name, "down") for name in layers}
    # kohya's names of convolutions, by hand
    if sdxl:
        assert names["unet.down_blocks.1.resnets.0.conv1"] == "lora_unet_input_blocks_4_0_in_layers_2"
        assert names["unet.down_blocks.0.downsamplers.0.conv"] == "lora_unet_input_blocks_3_0_op"
        assert names["unet.up_blocks.0.upsamplers.0.conv"] == "lora_unet_output_blocks_2_2_conv"
        assert names["unet.mid_block.resnets.1.time_emb_proj"] == "lora_unet_middle_block_2_emb_layers_1"
        assert names["unet.up_blocks.1.attentions.2.proj_in"] == "lora_unet_output_blocks_5_1_proj_in"


# --- files of others


def as_tensors(modules: Mapping[str, LoraModule]) -> dict[str, list[Any]]:
    return {name: [m.down.tolist(), m.up.tolist(), m.alpha] for name, m in modules.items()}


def test_old_names_of_diffusers_are_read(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(alpha=2.0))
    expected = as_tensors(extract_lora(pipe).modules)
    save_lora(pipe, tmp_path / "kohya.safetensors", format="kohya")
    oldest, _ = _convert_non_diffusers_lora_to_diffusers(load_file(tmp_path / "kohya.safetensors"))
    assert any("processor.to_q_lora.down.weight" in key for key in oldest)
    newer = {
        f"{part}.{key}": value
        for part, model in (("unet", pipe.unet), ("text_encoder", pipe.text_encoder))
        for key, value in convert_state_dict_to_diffusers(get_peft_model_state_dict(model)).items()
    }
    assert any(key.endswith("to_q.lora.down.weight") for key in newer)
    assert any("lora_linear_layer" in key for key in newer)
    peft = {f"unet.{key}": value.contiguous() for key, value in get_peft_model_state_dict(pipe.unet).items()}
    for tensors in (oldest, newer, peft):
        save_file({key: value.contiguous() for key, value in tensors.items()}, tmp_path / FILE)
        lora = read_lora(tmp_path / FILE)
        assert as_tensors(lora.modules) == {name: expected[name] for name in lora.modules}
        assert len(lora.modules) == (len(expected) if tensors is not peft else len(expected) - 12)
        assert not lora.alpha_known
        assert lora.layout == ("diffusers, old names" if tensors is oldest else "diffusers")
    unprefixed = {key.removeprefix("unet."): value for key, value in oldest.items() if key.startswith("unet.")}
    save_file(unprefixed, tmp_path / FILE)
    assert read_lora(tmp_path / FILE).modules.keys() == {name for name in expected if name.startswith("unet.")}


def test_files_that_diffusers_saves_are_read_with_their_alpha(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(rslora=True, dora=True))
    StableDiffusionPipeline.save_lora_weights(
        tmp_path,
        unet_lora_layers=get_peft_model_state_dict(pipe.unet),
        text_encoder_lora_layers=get_peft_model_state_dict(pipe.text_encoder),
        weight_name=FILE,
        unet_lora_adapter_metadata=pipe.unet.peft_config["default"].to_dict(),
        text_encoder_lora_adapter_metadata=pipe.text_encoder.peft_config["default"].to_dict(),
    )
    lora, ours = read_lora(tmp_path / FILE), extract_lora(pipe)
    assert as_tensors(lora.modules) == as_tensors(ours.modules)
    assert lora.alpha_known
    for name, module in lora.modules.items():
        magnitude = ours.modules[name].magnitude
        assert module.rslora
        assert module.magnitude is not None
        assert magnitude is not None
        assert torch.equal(module.magnitude, magnitude)


def test_a_kohya_file_without_alpha_has_the_rank_for_it(tmp_path: Path) -> None:
    tensors = published_file(tmp_path / FILE, rank=2)
    save_file({key: value for key, value in tensors.items() if not key.endswith(".alpha")}, tmp_path / FILE)
    lora = read_lora(tmp_path / FILE)
    assert {module.alpha for module in lora.modules.values()} == {2.0}
    assert not lora.alpha_known
    assert inspect_lora(tmp_path / FILE)["alpha_known"] is False


def test_sdxl_in_diffusers_block_names_becomes_kohyas(tmp_path: Path) -> None:
    layer = "transformer_blocks_0_attn1_to_q"
    tensors = {}
    for name in (
        f"lora_unet_down_blocks_1_attentions_0_{layer}",
        f"lora_unet_mid_block_attentions_0_{layer}",
        f"lora_unet_up_blocks_0_attentions_2_{layer}",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_projection",
    ):
        tensors |= {f"{name}.lora_down.weight": numbers(0, 2, 8), f"{name}.lora_up.weight": numbers(1, 8, 2)}
    save_file(tensors, tmp_path / "theirs.safetensors")
    convert_lora(tmp_path / "theirs.safetensors", tmp_path / FILE, format="kohya")
    assert {key.split(".")[0] for key in load_file(tmp_path / FILE)} == {
        f"lora_unet_input_blocks_4_1_{layer}",
        f"lora_unet_middle_block_1_{layer}",
        f"lora_unet_output_blocks_2_1_{layer}",
        "lora_te1_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_model_encoder_layers_0_mlp_fc1",
        "lora_te2_text_projection",
    }
    assert inspect_lora(tmp_path / FILE)["architecture"] == "sdxl"
    assert inspect_lora(tmp_path / FILE)["format"] == "kohya, SDXL block names"


def test_keys_without_text_model_are_read_as_those_with_it(backbone: Path, tmp_path: Path) -> None:
    """transformers 5 has no `text_model` in an SD text encoder, and so peft writes none; published files have it."""
    pipe = trained(load_backbone(backbone))
    save_lora(pipe, tmp_path / FILE)
    tensors, said = load_file(tmp_path / FILE), header(tmp_path / FILE)
    assert any(key.startswith("text_encoder.text_model.encoder.layers.0.") for key in tensors)
    assert "text_model" not in said[ADAPTER]
    save_file({key.replace("text_model.", ""): value for key, value in tensors.items()}, tmp_path / "five", said)
    assert as_tensors(read_lora(tmp_path / "five").modules) == as_tensors(extract_lora(pipe).modules)


# --- files that cannot be used

Q = "unet.mid_block.attentions.0.transformer_blocks.0.attn1.to_q"
K = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
GOOD = {f"{K}.lora_down.weight": torch.ones(2, 32), f"{K}.lora_up.weight": torch.ones(32, 2)}


def with_header(settings: str) -> Callable[[Path], None]:
    tensors = {f"{Q}.lora_A.weight": torch.ones(2, 32), f"{Q}.lora_B.weight": torch.ones(32, 2)}
    return lambda path: save_file(tensors, path, {ADAPTER: settings})


def holding(**changes: Tensor) -> Callable[[Path], None]:
    return lambda path: save_file(GOOD | {f"{K}.{key}".replace("__", "."): v for key, v in changes.items()}, path)


@pytest.mark.parametrize(
    ("write", "message"),
    [
        (lambda path: None, "there is no such LoRA file"),
        (lambda path: path.write_bytes(b"not weights at all, not weights at all"), "not a complete safetensors file"),
        (lambda path: save_file({}, path), "no LoRA of a Stable Diffusion is in it; it holds nothing"),
        (lambda path: save_file({"some.weight": torch.ones(2)}, path), "it holds some.weight"),
        (lambda path: save_file({"transformer.x.lora_A.weight": torch.ones(2, 2)}, path), "no LoRA of a Stable"),
        (lambda path: save_file({f"{K}.hada_w1_a": torch.ones(2, 2)}, path), "a LoHa, which cannot be used"),
        (lambda path: save_file({f"{K}.lokr_w1": torch.ones(2, 2)}, path), "a LoKr, which cannot be used"),
        (holding(lora_mid__weight=torch.ones(2, 2, 3, 3)), "a LoCon with a Tucker core, which cannot be used"),
        (holding(diff=torch.ones(2, 2)), f"1 tensors are of no SD LoRA known here: {K}.diff"),
        (lambda path: save_file({f"{K}.lora_up.weight": torch.ones(2, 2)}, path), f"{Q} has up, and no down"),
        (lambda path: save_file({f"{K}.lora_down.weight": torch.ones(2, 2)}, path), f"{Q} has down, and no up"),
        (lambda path: save_file({f"{K}.alpha": torch.ones(())}, path), f"{Q} has alpha, and no down"),
        (holding(lora_up__weight=torch.ones(32, 3)), r"down \(2, 32\) and up \(32, 3\) do not fit together"),
        (holding(lora_up__weight=torch.ones(32, 2, 1, 1)), "do not fit together"),
        (holding(lora_up__weight=torch.ones(())), "do not fit together"),
        (holding(lora_down__weight=torch.ones(0, 32), lora_up__weight=torch.ones(32, 0)), "do not fit together"),
        (holding(alpha=torch.ones(2)), r"alpha is a single number, not \(2,\)"),
        (holding(dora_scale=torch.ones(1, 32)), r"DoRA of \(1, 32\) is not one length for each of 32 rows"),
        (holding(lora_up__weight=torch.full((32, 2), math.nan)), "holds NaN or infinity"),
        (with_header("{"), "is not JSON"),
        (with_header("[]"), "is a list, not a mapping"),
        (with_header('{"unet.alpha_pattern": {"(": 3}}'), "has no alpha of unet.mid_block"),
        (with_header('{"unet.lora_alpha": "much"}'), "has no alpha of unet.mid_block"),
    ],
)
def test_a_file_that_cannot_be_used_says_why(tmp_path: Path, write: Callable[[Path], None], message: str) -> None:
    write(tmp_path / FILE)
    with pytest.raises(LoraError, match=message):
        read_lora(tmp_path / FILE)


def test_a_lora_of_another_architecture_is_refused_and_changes_nothing(backbone: Path, tmp_path: Path) -> None:
    save_lora(trained(load_backbone(backbone)), tmp_path / FILE)
    tensors = load_file(tmp_path / FILE)
    last = max(key for key in tensors if key.startswith("unet.") and "lora_A" in key)
    cases = {
        "the backbone has no text_encoder_2": {k.replace("encoder.", "encoder_2.", 1): v for k, v in tensors.items()},
        "the backbone has no layer unet.up_blocks.9": {
            k.replace("up_blocks.0", "up_blocks.9"): v for k, v in tensors.items()
        },
        "in the backbone and": tensors | {last: torch.cat([tensors[last]] * 2, dim=1)},
    }
    for message, changed in cases.items():
        save_file(changed, tmp_path / "other.safetensors")
        pipe = load_backbone(backbone)
        with pytest.raises(LoraError, match=f"cannot be used as a LoRA of this backbone: .*{message}"):
            load_lora(pipe, tmp_path / "other.safetensors", 1.0)
        expected = load_backbone(backbone).unet.state_dict()
        assert all(torch.equal(weight, expected[name]) for name, weight in pipe.unet.state_dict().items())
    with pytest.raises(LoraError, match="has a LoRA already"):
        load_lora(trained(load_backbone(backbone)), tmp_path / FILE, 1.0)


def test_a_pipeline_without_a_lora_or_with_two_is_not_saved(backbone: Path, tmp_path: Path) -> None:
    pipe = load_backbone(backbone)
    with pytest.raises(LoraError, match="holds no LoRA"):
        save_lora(pipe, tmp_path / FILE)
    add_lora(pipe, CONFIG)
    with pytest.warns(UserWarning, match="multiple adapters"):
        pipe.unet.add_adapter(Adapter(r=1, target_modules=["to_q"]), adapter_name="second")
    with pytest.raises(LoraError, match="holds 2 LoRAs, default, second"):
        save_lora(pipe, tmp_path / FILE)


def test_what_a_format_cannot_hold_is_refused(tmp_path: Path) -> None:
    holding(lora_up__weight=torch.full((32, 2), 1e5))(tmp_path / FILE)
    with pytest.raises(LoraError, match="too large for fp16"):
        convert_lora(tmp_path / FILE, tmp_path / "half.safetensors", format="kohya", precision="fp16")
    assert not (tmp_path / "half.safetensors").exists()
    other = {f"{K[:-1]}k.{key.split('.', 1)[1]}": value.clone() for key, value in GOOD.items()}
    holding(dora_scale=torch.ones(32, 1))(tmp_path / FILE)
    save_file(load_file(tmp_path / FILE) | other, tmp_path / "mixed.safetensors")
    with pytest.raises(LoraError, match="1 of 2 layers of the unet have DoRA"):
        convert_lora(tmp_path / "mixed.safetensors", tmp_path / "out.safetensors", format="diffusers")


# --- headers, precision, bytes


def facts() -> TrainingFacts:
    captions = Counter({"a photo of fetal brain": 20, "a photo of fetal femur": 19})
    return TrainingFacts("owner/base", "ab12", captions, patients=30, images_digest="cd34", step=400)


def test_the_header_says_what_is_true_and_nothing_else(backbone: Path, tmp_path: Path) -> None:
    cfg = like(sizes="buckets", min_snr_gamma=5.0, warmup_steps=10)
    save_lora(trained(load_backbone(backbone), cfg), tmp_path / FILE, format="kohya", cfg=cfg, facts=facts())
    said = header(tmp_path / FILE)
    own = json.loads(said.pop("fulora"))
    assert own["config"]["unet_learning_rate"] == cfg.unet_learning_rate
    assert "device" not in own["config"]
    assert own["facts"]["captions"] == {"a photo of fetal brain": 20, "a photo of fetal femur": 19}
    assert (own["facts"]["patients"], own["facts"]["images_digest"]) == (30, "cd34")
    assert (own["licence"], own["prediction_type"], own["architecture"]) == ("cc-by-4.0", "epsilon", "sd1")
    assert said.pop("sshs_model_hash") == inspect_lora(tmp_path / FILE)["hashes"]["data_sha256"]
    assert json.loads(said.pop("ss_tag_frequency")) == {"images": dict(facts().captions)}
    assert said == {
        "ss_bucket_no_upscale": "True",
        "ss_caption_dropout_rate": "0.1",
        "ss_clip_skip": "1",
        "ss_enable_bucket": "True",
        "ss_gradient_accumulation_steps": "1",
        "ss_learning_rate": "0.001",
        "ss_lr_scheduler": "constant_with_warmup",
        "ss_lr_warmup_steps": "10",
        "ss_max_grad_norm": "1.0",
        "ss_max_train_steps": "400",
        "ss_min_snr_gamma": "5.0",
        "ss_mixed_precision": "no",
        "ss_network_alpha": "6",
        "ss_network_dim": "2",
        "ss_network_module": "networks.lora",
        "ss_noise_offset": "0.0",
        "ss_num_train_images": "39",
        "ss_optimizer": "torch.optim.adamw.AdamW(weight_decay=0.01)",
        "ss_resolution": "(512, 512)",
        "ss_sd_model_name": "owner/base",
        "ss_seed": "0",
        "ss_steps": "400",
        "ss_text_encoder_lr": "0.0005",
        "ss_total_batch_size": "8",
        "ss_unet_lr": "0.001",
    }


@pytest.mark.parametrize(
    ("architecture", "version"),
    [("sd1", "sd_v1"), ("sd2-base", "sd_v2"), ("sd2-v", "sd_v2_768_v"), ("sdxl", "sdxl_base_v1-0")],
)
def test_a_published_architecture_is_called_as_kohya_calls_it(
    tmp_path: Path, architecture: Any, version: str, shallow_sdxl: None
) -> None:
    with torch.device("meta"):
        pipe = build(architecture, tmp_path, small=False, seed=0)
    said = build_metadata(pipe, Lora({}), None, None)
    assert (said["ss_base_model_version"], said["ss_v2"]) == (version, str("v2" in version))


def test_equal_loras_give_equal_bytes(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone))
    for format in ("diffusers", "kohya"):
        written = set()
        for number in range(3):
            path = tmp_path / f"{format}{number}" / FILE
            save_lora(pipe, path, format=format, cfg=CONFIG, facts=facts())  # type: ignore[arg-type]
            written.add(path.read_bytes())
            assert [file.name for file in path.parent.iterdir()] == [FILE]
        assert len(written) == 1


def test_rslora_becomes_plain_for_kohya_and_comes_back_unless_the_rank_was_changed(
    backbone: Path, tmp_path: Path
) -> None:
    source, kohya, back = (tmp_path / f"{name}.safetensors" for name in ("source", "kohya", "back"))
    pipe = trained(load_backbone(backbone), like(rslora=True))
    save_lora(pipe, source)
    convert_lora(source, kohya, format="kohya")
    tensors = load_file(kohya)
    alphas = [value for key, value in tensors.items() if key.endswith(".alpha")]
    assert all(float(alpha) == pytest.approx(6 * math.sqrt(2), rel=1e-7) for alpha in alphas)
    assert header(kohya)["ss_network_alpha"] == "8.48528137"
    convert_lora(kohya, back, format="diffusers")
    assert back.read_bytes() == source.read_bytes()

    ones = {k: v[:1] if "lora_down" in k else v[:, :1] if "lora_up" in k else v for k, v in tensors.items()}
    save_file({key: value.contiguous() for key, value in ones.items()}, kohya, header(kohya))
    assert {(m.rslora, m.alpha) for m in read_lora(kohya).modules.values()} == {(False, float(alphas[0]))}


def test_an_rslora_of_others_keeps_each_layers_alpha(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(rslora=True))
    lora = extract_lora(pipe)
    name, module = next(iter(lora.modules.items()))
    changed = LoraModule(module.down, module.up, 3.0, rslora=True)
    write_lora(Lora({**lora.modules, name: changed}), tmp_path / FILE, format="kohya")
    assert {n: (m.alpha, m.rslora) for n, m in read_lora(tmp_path / FILE).modules.items()} == {
        n: (3.0 if n == name else 6.0, True) for n in lora.modules
    }


def test_dora_has_the_shape_of_rows_in_kohyas_format(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(dora=True))
    save_lora(pipe, tmp_path / FILE, format="kohya")
    tensors = load_file(tmp_path / FILE)
    scales = {key: value for key, value in tensors.items() if key.endswith(".dora_scale")}
    assert len(scales) * 4 == len(tensors)
    for key, value in scales.items():
        up = tensors[key.replace("dora_scale", "lora_up.weight")]
        assert value.shape == (len(up), *[1] * (up.ndim - 1))
    assert "ss_network_module" not in header(tmp_path / FILE)  # kohya's own knows no DoRA
    convert_lora(tmp_path / FILE, tmp_path / "back.safetensors", format="diffusers")
    save_lora(pipe, tmp_path / "straight.safetensors")
    assert (tmp_path / "back.safetensors").read_bytes() == (tmp_path / "straight.safetensors").read_bytes()


def test_half_precision_keeps_alpha_exact(backbone: Path, tmp_path: Path) -> None:
    for alpha, dtype in ((6.0, torch.float16), (0.1, torch.float32)):
        pipe = trained(load_backbone(backbone), like(alpha=alpha))
        save_lora(pipe, tmp_path / FILE, format="kohya", precision="fp16")
        tensors = load_file(tmp_path / FILE)
        alphas = [value for key, value in tensors.items() if key.endswith(".alpha")]
        assert {(a.dtype, a.ndim, float(a)) for a in alphas} == {(dtype, 0, float(torch.tensor(alpha)))}
        assert {v.dtype for key, v in tensors.items() if not key.endswith(".alpha")} == {torch.float16}


# --- inspection


def test_the_norm_is_that_of_what_is_added(backbone: Path, tmp_path: Path) -> None:
    pipe = trained(load_backbone(backbone), like(rslora=True))
    save_lora(pipe, tmp_path / FILE)
    fused, base = load_backbone(backbone), load_backbone(backbone)
    load_lora(fused, tmp_path / FILE, 1.0)
    for part, found in inspect_lora(tmp_path / FILE)["parts"].items():
        changed, before = getattr(fused, part).state_dict(), getattr(base, part).state_dict()
        added = sum((changed[name].double() - before[name].double()).square().sum().item() for name in before)
        assert found["norm"] == pytest.approx(math.sqrt(added), rel=1e-4)


def test_captions_of_all_folders_are_counted_and_broken_headers_are_not_believed(tmp_path: Path) -> None:
    folders = {"1_a": {"brain ": 2, "femur": 1}, "2_b": {"brain": 3, "odd": "many"}, "odd": 7}
    for metadata, expected in (
        ({"ss_tag_frequency": json.dumps(folders)}, {"brain": 5, "femur": 1}),
        ({"ss_tag_frequency": "{"}, {}),
        ({"ss_tag_frequency": "[1]", "fulora": "no"}, {}),
        ({"fulora": json.dumps({"facts": {"captions": {"thorax": 4}}}), "ss_tag_frequency": "{}"}, {"thorax": 4}),
    ):
        save_file(GOOD, tmp_path / FILE, metadata)
        assert inspect_lora(tmp_path / FILE)["captions"] == expected


def test_an_architecture_is_recognised_by_its_widths(tmp_path: Path) -> None:
    key = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn2_to_k"
    for width, architecture in ((768, "sd1"), (1024, "sd2"), (32, "unknown")):
        save_file(
            {f"{key}.lora_down.weight": torch.ones(2, width), f"{key}.lora_up.weight": torch.ones(32, 2)},
            tmp_path / FILE,
            {"modelspec.license": "mit"},
        )
        found = inspect_lora(tmp_path / FILE)
        assert (found["architecture"], found["licence"]) == (architecture, "mit")
