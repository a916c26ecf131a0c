from collections import Counter
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training.batches import (
    EncodedExamples,
    draw_batch,
    encode_examples,
    resize_examples,
    training_sizes,
)
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.objective import Latents

CONFIG = LoraConfig(batch_size=4, caption_dropout=0.5, seed=3)
BUCKETS = LoraConfig(batch_size=4, sizes="buckets", resolution_px=32, bucket_step_px=8)


@pytest.fixture
def data(backbone: Path, examples: Examples) -> EncodedExamples:
    return encode_examples(load_backbone(backbone).vae, examples, CONFIG)


def same(one: object, other: object) -> bool:
    return all(torch.equal(getattr(one, name), getattr(other, name)) for name in ("latents", "noise", "timesteps"))


def test_a_batch_depends_on_seed_and_step_alone(data: EncodedExamples) -> None:
    scheduler = DDPMScheduler()
    first = draw_batch(data, CONFIG, scheduler, 5, "lora")
    torch.manual_seed(8)
    again = draw_batch(data, CONFIG, scheduler, 5, "lora")
    assert same(first, again)
    assert first.captions == again.captions
    assert not same(first, draw_batch(data, CONFIG, scheduler, 6, "lora"))
    assert not same(first, draw_batch(data, CONFIG.model_copy(update={"seed": 4}), scheduler, 5, "lora"))
    assert not same(first, draw_batch(data, CONFIG, scheduler, 5, "prior"))


@pytest.mark.parametrize(("processes", "parts"), [(1, 1), (2, 1), (1, 4), (2, 2), (4, 1)])
def test_processes_and_parts_share_a_batch_whole(data: EncodedExamples, processes: int, parts: int) -> None:
    batch = draw_batch(data, CONFIG, DDPMScheduler(), 0, "lora")
    pieces = [piece for rank in range(processes) for piece in batch.parts(rank, processes, parts)]
    assert len(pieces) == processes * parts
    assert {len(piece.latents) for piece in pieces} == {4 // (processes * parts)}
    whole = sorted(zip(batch.timesteps.tolist(), batch.noise.sum((1, 2, 3)).tolist(), batch.captions, strict=True))
    rows = [
        row
        for piece in pieces
        for row in zip(piece.timesteps.tolist(), piece.noise.sum((1, 2, 3)).tolist(), piece.captions, strict=True)
    ]
    assert sorted(rows) == whole


def test_captions_are_dropped_as_often_as_asked_for(data: EncodedExamples) -> None:
    drawn = [text for step in range(100) for text in draw_batch(data, CONFIG, DDPMScheduler(), step, "lora").captions]
    assert 0.4 < drawn.count("") / len(drawn) < 0.6  # 400 draws: five standard deviations
    assert set(drawn) == {"", *data.captions}


def test_noise_offset_moves_whole_channels(data: EncodedExamples) -> None:
    scheduler = DDPMScheduler()
    plain = draw_batch(data, CONFIG, scheduler, 0, "lora").noise
    offset = draw_batch(data, CONFIG.model_copy(update={"noise_offset": 0.5}), scheduler, 0, "lora").noise
    moved = offset - plain
    assert torch.allclose(moved, moved[:, :, :1, :1].expand_as(moved), atol=1e-6)
    assert 0.2 < float(moved[:, :, 0, 0].std()) < 0.9  # 16 draws of standard deviation 0.5


def test_uniform_timesteps_cover_the_schedule(data: EncodedExamples) -> None:
    cfg = CONFIG.model_copy(update={"timesteps": "uniform"})
    times = torch.cat([draw_batch(data, cfg, DDPMScheduler(), step, "lora").timesteps for step in range(200)])
    assert abs(float(times.float().mean()) - 499.5) < 5 * 288.7 / len(times) ** 0.5
    assert int(times.min()) < 30
    assert int(times.max()) > 970


def test_flipped_images_are_encoded_by_themselves_and_shown_half_of_the_time(
    backbone: Path, examples: Examples
) -> None:
    vae = load_backbone(backbone).vae
    cfg = CONFIG.model_copy(update={"flip": True})
    data = encode_examples(vae, examples, cfg)
    mirrored = Examples([picture[:, ::-1].copy() for picture in examples.pictures], examples.captions)
    alone = encode_examples(vae, mirrored, CONFIG)
    assert len(data.latents.mean) == 20
    assert torch.allclose(torch.stack(list(data.latents.mean[10:])), torch.stack(list(alone.latents.mean)), atol=1e-5)
    flipped_latent = torch.stack(list(data.latents.mean[:10])).flip(-1)
    assert not torch.allclose(torch.stack(list(data.latents.mean[10:])), flipped_latent, atol=1e-2)
    known = Latents([torch.full((4, 8, 8), float(place)) for place in range(20)], [torch.zeros(4, 8, 8)] * 20)
    told = EncodedExamples(known, examples.captions, data.sizes)
    drawn = [x for step in range(100) for x in draw_batch(told, cfg, DDPMScheduler(), step, "lora").latents[:, 0, 0, 0]]
    places = torch.stack(drawn)
    assert 0.4 < float((places >= 10).float().mean()) < 0.6  # 400 draws: four standard deviations
    assert sorted({int(place) % 10 for place in places}) == list(range(10))


def test_latents_are_drawn_anew_at_every_step_or_once(backbone: Path, examples: Examples) -> None:
    vae = load_backbone(backbone).vae
    for latents, equal in (("resampled", False), ("once", True)):
        cfg = LoraConfig(batch_size=10, latents=latents)  # type: ignore[arg-type]
        data = encode_examples(vae, examples, cfg)
        first, second = (draw_batch(data, cfg, DDPMScheduler(), step, "lora").latents for step in (0, 1))
        sums = [sorted(latent.sum().item() for latent in batch) for batch in (first, second)]
        assert (sums[0] == sums[1]) == equal


def test_buckets_give_batches_of_one_size_and_every_image_its_turn(backbone: Path) -> None:
    random = np.random.default_rng(0)
    shapes = [(32, 32)] * 5 + [(24, 40)] * 3 + [(60, 20)] * 1
    pictures = [random.integers(0, 256, shape).astype(np.uint8) for shape in shapes]
    examples = Examples(pictures, [f"a photo {number}" for number in range(9)])
    cfg = BUCKETS.model_copy(update={"caption_dropout": 0.0})
    data = encode_examples(load_backbone(backbone).vae, examples, cfg)
    assert Counter(data.sizes) == {(32, 32): 5, (40, 24): 3, (16, 48): 1}
    assert data.latents.mean[8].shape == (4, 12, 4)
    seen: Counter[str] = Counter()
    for step in range(9):
        batch = draw_batch(data, cfg, DDPMScheduler(), step, "lora")
        assert {data.sizes[int(text.split()[-1])] for text in batch.captions} == {batch.size}
        seen.update(batch.captions)
    assert set(seen.values()) == {4}


def test_images_are_fitted_to_their_buckets_or_must_be_of_one_size() -> None:
    mixed = Examples([np.zeros((32, 32), np.uint8), np.zeros((32, 41), np.uint8)], ["x", "x"])
    assert [picture.shape for picture in resize_examples(mixed, BUCKETS).pictures] == [(32, 32), (24, 32)]
    assert training_sizes(mixed, BUCKETS) == [(32, 32), (32, 24)]
    alike = Examples(mixed.pictures[1:], ["x"])
    assert resize_examples(alike, CONFIG) is alike
    assert training_sizes(alike, CONFIG) == [(41, 32)]
    for of in (resize_examples, training_sizes):
        with pytest.raises(LoraError, match=r"images of 2 sizes, 32x32 among them: use sizes=buckets"):
            of(mixed, CONFIG)
