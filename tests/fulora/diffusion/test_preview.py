"""Sample grids of a LoRA in training: what is in which place, and that the pipeline is left as it was."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from PIL import Image as Pil

from fulora.diffusion.config import LoraConfig, SamplesConfig
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import Conditioning, embed
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.sample import start_noise
from fulora.diffusion.sampling.samplers import as_numpy_2, build_sampler
from fulora.diffusion.training.batches import EncodedExamples
from fulora.diffusion.training.objective import Latents
from fulora.diffusion.training.preview import draw_samples
from fulora.environment import derive_seed

CONFIG = LoraConfig(clip_skip=2, samples=SamplesConfig(per_caption=3, steps=2, guidance_scale=4.0))
DATA = EncodedExamples(Latents([], []), ["thorax", "brain", "thorax"], [(48, 32), (32, 32), (48, 32)])
"""Grids are drawn from noise, so the latents of what is trained on are not looked at."""


def drawn(folder: Path, pipe: Pipeline, cfg: LoraConfig = CONFIG) -> UInt8[np.ndarray, "h w"]:
    def embedded(texts: Sequence[str], clip_skip: int) -> Conditioning:
        assert clip_skip == cfg.clip_skip
        return embed(pipe, texts, clip_skip)

    draw_samples(folder, pipe, cfg, embedded, DATA, step=70)
    with Pil.open(folder / "samples" / "step_000070.png") as image:
        return np.asarray(image)


def test_a_row_a_caption_by_name_of_the_size_of_most_images(tmp_path: Path, backbone: Path) -> None:
    """Each picture is the one that diffusers' own pipeline draws with its seed."""
    pixels = drawn(tmp_path, load_backbone(backbone))
    assert pixels.shape == (2 * 32 + 4, 3 * 48 + 2 * 4)
    pipe: Any = load_backbone(backbone)
    pipe.scheduler = build_sampler(pipe.scheduler.config, "dpm++")
    for row, caption in enumerate(("brain", "thorax")):
        prompt, negative = (embed(pipe, [text], 2).states.detach() for text in (caption, ""))
        for place in range(3):
            with as_numpy_2():
                expected = pipe(
                    prompt_embeds=prompt,
                    negative_prompt_embeds=negative,
                    width=48,
                    height=32,
                    output_type="np",
                    latents=start_noise(4, (8, 12), [derive_seed("samples", caption, place)]),
                    num_inference_steps=2,
                    guidance_scale=4.0,
                ).images[0]
            found = pixels[36 * row : 36 * row + 32, 52 * place : 52 * place + 48]
            assert np.abs(found - 255 * expected.mean(axis=2)).max() < 0.51


def test_the_same_grid_each_time_and_the_pipeline_as_it_was(tmp_path: Path, backbone: Path) -> None:
    pipe = load_backbone(backbone)
    before = [weight.clone() for weight in (*pipe.unet.parameters(), *pipe.vae.parameters())]
    scheduler, state = pipe.scheduler, torch.get_rng_state()
    first = drawn(tmp_path / "first", pipe)
    torch.randn(3)
    assert np.array_equal(first, drawn(tmp_path / "second", pipe))
    assert pipe.scheduler is scheduler
    after = (*pipe.unet.parameters(), *pipe.vae.parameters())
    assert all(torch.equal(old, new) for old, new in zip(before, after, strict=True))
    torch.set_rng_state(state)
    drawn(tmp_path / "third", pipe)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_autoencoder_goes_back_where_it_was_even_if_drawing_fails(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = load_backbone(backbone)
    moved: list[torch.device] = []
    monkeypatch.setattr(pipe.vae, "to", moved.append)

    def full(*given: Any, **arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(pipe.unet, "forward", full)
    with pytest.raises(torch.OutOfMemoryError):
        drawn(tmp_path, pipe)
    assert moved == [pipe.unet.device, pipe.vae.device]
    assert not (tmp_path / "samples").exists()


def test_nothing_is_drawn_unless_asked_for(tmp_path: Path, backbone: Path) -> None:
    draw_samples(
        tmp_path, load_backbone(backbone), LoraConfig(), lambda texts, skip: Conditioning(torch.empty(0)), DATA, step=1
    )
    assert not list(tmp_path.iterdir())
