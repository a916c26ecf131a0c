from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionPipeline
from peft import LoraConfig as Adapter

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import (
    TEXT_TARGETS,
    UNET_TARGETS,
    LoraError,
    add_lora,
    all_lora_parameters,
    lora_parameters,
)
from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.conditioning import embed
from fulora.diffusion.models.loading import load_backbone, quiet

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
    words = embed(pipe, ["a photo", "brain"]).states
    predicted: torch.Tensor = pipe.unet(latents, torch.tensor([10, 500]), words).sample
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


@pytest.mark.parametrize(
    ("settings", "scale"),
    [({}, 3.0), ({"rslora": True}, 6 / 2**0.5), ({"dora": True}, 3.0)],
    ids=["plain", "rslora", "dora"],
)
def test_what_is_added_is_scaled_as_published(backbone: Path, settings: dict[str, bool], scale: float) -> None:
    pipe = adapted(backbone, LoraConfig(rank=2, alpha=6, **settings))
    layer = pipe.unet.mid_block.attentions[0].proj_in
    assert layer.scaling["default"] == pytest.approx(scale)
    assert ("default" in layer.lora_magnitude_vector) == ("dora" in settings)


def test_kaiming_is_kohyas_start(backbone: Path) -> None:
    """Uniform within 1 / sqrt(fan in), which is what kaiming_uniform with a = sqrt(5) gives."""
    for initialisation, uniform in (("kaiming", True), ("gaussian", False)):
        pipe = load_backbone(backbone)
        add_lora(pipe, LoraConfig(rank=8, initialisation=initialisation))  # type: ignore[arg-type]
        down = pipe.unet.mid_block.attentions[0].transformer_blocks[0].ff.net[2].lora_A["default"].weight
        assert bool((down.abs() <= down.shape[1] ** -0.5 + 1e-7).all()) == uniform
        up = pipe.unet.mid_block.attentions[0].proj_in.lora_B["default"].weight
        assert not up.any()


@pytest.mark.slow
def test_both_text_encoders_of_sdxl_are_adapted(tmp_path: Path) -> None:
    with torch.device("meta"):
        pipe = build("sdxl", tmp_path, small=True, seed=0)
        add_lora(pipe, CONFIG)
    counts = [len(lora_parameters(module)) for module in (pipe.unet, pipe.text_encoder, pipe.text_encoder_2)]
    assert counts == [2 * 722, 2 * 72, 2 * 192]  # down and up of as many layers as kohya prints for SDXL
    assert len(all_lora_parameters(pipe)) == sum(counts)


@pytest.mark.slow
def test_sd_1_has_kohyas_264_modules(tmp_path: Path) -> None:
    with torch.device("meta"):
        pipe = build("sd1", tmp_path, small=False, seed=0)
        for module, targets in ((pipe.unet, UNET_TARGETS), (pipe.text_encoder, TEXT_TARGETS)):
            module.requires_grad_(False)
            module.add_adapter(Adapter(r=8, target_modules=list(targets["kohya"])))
    ups = [
        name for module in (pipe.unet, pipe.text_encoder) for name, _ in module.named_parameters() if "lora_B" in name
    ]
    assert len(ups) == 264
    assert sum(p.numel() for p in all_lora_parameters(pipe)) == 589_824 * 8
