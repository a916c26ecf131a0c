from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open
from safetensors.torch import save_file

from fulora.diffusion.backbone import load_backbone, quiet
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora import LoraError, add_lora, lora_parameters
from fulora.diffusion.lora_files import FILE, load_lora, save_lora
from fulora.diffusion.objective import embed

CONFIG = LoraConfig(rank=2, alpha=6)


def adapted(backbone: Path, cfg: LoraConfig = CONFIG) -> StableDiffusionPipeline:
    """A pipeline whose LoRA does something."""
    pipe = load_backbone(backbone)
    add_lora(pipe, cfg)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in lora_parameters(pipe.unet) + lora_parameters(pipe.text_encoder):
            parameter.copy_(0.2 * torch.randn(parameter.shape, generator=random))
    return pipe


@torch.no_grad()
def answer(pipe: StableDiffusionPipeline) -> torch.Tensor:
    latents = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
    predicted: torch.Tensor = pipe.unet(latents, torch.tensor([10, 500]), embed(pipe, ["a photo", "brain"])).sample
    return predicted


def test_a_new_lora_changes_nothing_and_learns_in_fp32(backbone: Path) -> None:
    before, pipe = answer(load_backbone(backbone)), load_backbone(backbone)
    pipe.unet.to(torch.bfloat16).to(torch.float32)
    torch.manual_seed(5)
    add_lora(pipe, CONFIG)
    assert torch.initial_seed() == 5
    assert torch.allclose(answer(load_backbone(backbone)), before)
    assert {p.dtype for p in lora_parameters(pipe.unet) + lora_parameters(pipe.text_encoder)} == {torch.float32}
    assert not lora_parameters(pipe.vae)


def test_lora_weights_are_fp32_on_a_base_of_bf16(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    with quiet():
        pipe.unet.to(torch.bfloat16)
    add_lora(pipe, CONFIG)
    assert {p.dtype for p in lora_parameters(pipe.unet)} == {torch.float32}


def test_kohya_adapts_every_projection_and_attention_only_those_of_attention(backbone: Path) -> None:
    names = {}
    for target in ("kohya", "attention"):
        pipe = load_backbone(backbone)
        add_lora(
            pipe, LoraConfig(rank=2, target=target, text_encoder_learning_rate=0 if target == "attention" else 1e-4)
        )
        names[target] = {name.split(".lora_")[0] for name, p in pipe.unet.named_parameters() if p.requires_grad}
        assert bool(lora_parameters(pipe.text_encoder)) == (target == "kohya")
    endings = {name.split("attentions.")[1].split(".", 1)[1] for name in names["kohya"] - names["attention"]}
    assert endings == {"proj_in", "proj_out", "transformer_blocks.0.ff.net.0.proj", "transformer_blocks.0.ff.net.2"}
    blocks = sum(1 for name in names["attention"] if name.endswith("attn1.to_q"))
    assert len(names["kohya"]) == 12 * blocks  # kohya's 12 a transformer: 192 in SD 1.5's 16


def test_a_second_lora_on_a_pipeline_is_refused(backbone: Path) -> None:
    with pytest.raises(LoraError, match="has a LoRA already"):
        add_lora(adapted(backbone), CONFIG)


def test_alpha_that_differs_from_rank_survives_the_file(backbone: Path, tmp_path: Path) -> None:
    pipe = adapted(backbone)
    save_lora(pipe, tmp_path / FILE)
    fused = load_backbone(backbone)
    load_lora(fused, tmp_path / FILE, 1.0)
    assert not hasattr(fused.unet, "peft_config")
    assert torch.allclose(answer(fused), answer(pipe), atol=1e-5)
    assert not torch.allclose(answer(load_backbone(backbone)), answer(pipe), atol=1e-2)


def test_diffusers_reads_the_file_by_itself_and_the_picture_is_the_same(backbone: Path, tmp_path: Path) -> None:
    pipe = adapted(backbone)
    save_lora(pipe, tmp_path / FILE)
    theirs = load_backbone(backbone)
    with quiet():
        theirs.load_lora_weights(tmp_path, weight_name=FILE)
    pictures = [
        p("brain", num_inference_steps=2, generator=torch.Generator().manual_seed(0), output_type="np").images
        for p in (pipe, theirs)
    ]
    assert abs(pictures[0] - pictures[1]).max() < 1e-5


def test_a_lora_of_the_unet_alone_survives_too(backbone: Path, tmp_path: Path) -> None:
    pipe = adapted(backbone, CONFIG.model_copy(update={"text_encoder_learning_rate": 0.0}))
    save_lora(pipe, tmp_path / FILE)
    fused = load_backbone(backbone)
    load_lora(fused, tmp_path / FILE, 1.0)
    assert torch.allclose(answer(fused), answer(pipe), atol=1e-5)


def test_strength_scales_the_lora(backbone: Path, tmp_path: Path) -> None:
    save_lora(adapted(backbone), tmp_path / FILE)
    weights = []
    for strength in (0.0, 0.5, 1.0):
        pipe = load_backbone(backbone)
        load_lora(pipe, tmp_path / FILE, strength)
        weights.append(pipe.unet.mid_block.attentions[0].proj_in.weight.detach())
    assert torch.allclose(weights[1] - weights[0], (weights[2] - weights[0]) / 2, atol=1e-6)
    assert torch.equal(weights[0], load_backbone(backbone).unet.mid_block.attentions[0].proj_in.weight)


def test_equal_weights_give_equal_files(backbone: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        save_lora(adapted(backbone), tmp_path / name / FILE)
    assert (tmp_path / "first" / FILE).read_bytes() == (tmp_path / "second" / FILE).read_bytes()
    with safe_open(tmp_path / "first" / FILE, "pt") as file:
        keys = list(file.keys())
    assert all(key.startswith(("unet.", "text_encoder.")) for key in keys)


def test_files_that_are_no_lora_of_this_backbone_are_refused(backbone: Path, tmp_path: Path) -> None:
    pipe = load_backbone(backbone)
    with pytest.raises(LoraError, match="no such LoRA file"):
        load_lora(pipe, tmp_path / "missing.safetensors", 1.0)
    (tmp_path / "noise.safetensors").write_bytes(b"not weights at all, not weights at all")
    with pytest.raises(LoraError, match="cannot be used as a LoRA of this backbone"):
        load_lora(pipe, tmp_path / "noise.safetensors", 1.0)
    save_file({"some.weight": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(LoraError, match="cannot be used as a LoRA of this backbone"):
        load_lora(pipe, tmp_path / "other.safetensors", 1.0)


def test_a_lora_of_another_architecture_is_refused(backbone: Path, tmp_path: Path) -> None:
    save_lora(adapted(backbone), tmp_path / FILE)
    with safe_open(tmp_path / FILE, "pt") as file:
        wider = {key: torch.cat([file.get_tensor(key)] * 2, dim=1) for key in file.keys()}  # noqa: SIM118
    save_file(wider, tmp_path / "wider.safetensors")
    with pytest.raises(LoraError, match="cannot be used as a LoRA of this backbone"):
        load_lora(load_backbone(backbone), tmp_path / "wider.safetensors", 1.0)
