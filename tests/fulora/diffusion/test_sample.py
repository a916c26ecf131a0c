"""The sampling loop against diffusers' own pipelines, its guidance, and the ways from seeds to noise and to pixels."""

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from diffusers import AutoencoderKL, StableDiffusionImg2ImgPipeline
from diffusers.image_processor import VaeImageProcessor
from torch import Tensor

from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.conditioning import embed
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling import sample
from fulora.diffusion.sampling.config import GenerateConfig, Sampler
from fulora.diffusion.sampling.sample import Guidance, decode, denoise, encode, image_seed, start_noise, to_pixels
from fulora.diffusion.sampling.samplers import as_numpy_2, build_sampler

pytestmark = pytest.mark.slow

SAMPLERS: tuple[Sampler, ...] = get_args(Sampler)
SEEDS = (11, 12)
PROMPTS = ["a photo of fetal brain", "a photo of fetal femur"]
NEGATIVES = ["", "blurry"]
"""As many as prompts: the last digits of SDXL's pooled embedding depend on how many texts are read together."""
STEPS = 5
SIZE_PX = (64, 96)
"""Height and width."""


@pytest.fixture(scope="module")
def pipes(
    tmp_path_factory: pytest.TempPathFactory, make_sdxl_shallow: Callable[[pytest.MonkeyPatch], None]
) -> dict[str, Pipeline]:
    """Small ones of each architecture: two that predict noise, and one, of SD 2.x, that predicts velocity."""
    names: tuple[Any, ...] = ("sd1", "sd2-v", "sdxl")
    with pytest.MonkeyPatch.context() as patch:
        make_sdxl_shallow(patch)
        return {name: build(name, tmp_path_factory.mktemp(name), small=True, seed=0) for name in names}


def noise_of(size_px: tuple[int, int] = SIZE_PX) -> Tensor:
    return start_noise(4, (size_px[0] // 8, size_px[1] // 8), SEEDS)


@torch.no_grad()
def ours(
    pipe: Pipeline,
    name: Sampler,
    scale: float,
    unet: Any = None,
    interval: tuple[float, float] = (0.0, 1.0),
    **start: Any,
) -> Tensor:
    return denoise(
        unet or pipe.unet,
        build_sampler(pipe.scheduler.config, name),
        (embed(pipe, PROMPTS), embed(pipe, NEGATIVES)),
        noise_of(),
        Guidance(scale, interval),
        steps=STEPS,
        size_px=SIZE_PX,
        dtype=torch.float32,
        **start,
    )


def theirs(pipe: Any, name: Sampler, scale: float, **more: Any) -> Tensor:
    """Latents of a pipeline of diffusers, from its own reading of the prompts on."""
    kept = pipe.scheduler
    pipe.scheduler = build_sampler(kept.config, name)
    try:
        with as_numpy_2():
            latents: Tensor = pipe(
                PROMPTS,
                negative_prompt=NEGATIVES,
                num_inference_steps=STEPS,
                guidance_scale=scale,
                output_type="latent",
                **more,
            ).images
    finally:
        pipe.scheduler = kept
    return latents


# --- against diffusers


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("architecture", ["sd1", "sd2-v", "sdxl"])
def test_latents_are_bit_for_bit_those_of_diffusers(
    pipes: dict[str, Pipeline], architecture: str, name: Sampler
) -> None:
    pipe = pipes[architecture]
    expected = "v_prediction" if architecture == "sd2-v" else "epsilon"
    assert build_sampler(pipe.scheduler.config, name).config.prediction_type == expected
    found = {}
    for scale in (1.0, 6.0):
        found[scale] = ours(pipe, name, scale)
        height, width = SIZE_PX
        assert torch.equal(found[scale], theirs(pipe, name, scale, latents=noise_of(), height=height, width=width))
        assert found[scale].isfinite().all()
    assert not torch.allclose(found[1.0], found[6.0], atol=1e-3)


@pytest.fixture(scope="module")
def image_to_image(pipes: dict[str, Pipeline]) -> dict[str, Any]:
    found = {}
    for name in ("sd1", "sd2-v"):
        found[name] = StableDiffusionImg2ImgPipeline(**pipes[name].components, requires_safety_checker=False)
        found[name].set_progress_bar_config(disable=True)
    return found


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("architecture", ["sd1", "sd2-v"])
def test_image_to_image_is_bit_for_bit_that_of_diffusers(
    pipes: dict[str, Pipeline], image_to_image: dict[str, Any], architecture: str, name: Sampler
) -> None:
    """Theirs takes latents for a picture, and draws the noise of each from a generator of its own."""
    start = torch.randn(noise_of().shape, generator=torch.Generator().manual_seed(5))
    found = []
    for strength in (0.2, 0.5, 0.79, 1.0):
        generators = [torch.Generator().manual_seed(seed) for seed in SEEDS]
        expected = theirs(image_to_image[architecture], name, 6.0, image=start, strength=strength, generator=generators)
        found.append(ours(pipes[architecture], name, 6.0, start=start, start_strength=strength))
        assert torch.equal(found[-1], expected)
    distances = [(latents - start).abs().mean().item() for latents in found]
    assert distances[0] < distances[1] < min(distances[2:])


def test_start_strength_is_the_share_of_steps_that_is_done(pipes: dict[str, Pipeline]) -> None:
    for strength, done in ((0.2, 1), (0.39, 1), (0.4, 2), (1.0, STEPS)):
        counted = Counted(pipes["sd1"])
        ours(pipes["sd1"], "euler", 1.0, counted, start=torch.zeros(noise_of().shape), start_strength=strength)
        assert len(counted.batches) == done


# --- guidance


class Counted:
    """A UNet that notes how many pictures it is asked for, and at which time."""

    def __init__(self, pipe: Pipeline) -> None:
        self.unet, self.batches, self.times = pipe.unet, list[int](), list[float]()

    def __call__(self, latents: Tensor, time: Tensor, **arguments: Any) -> Any:
        self.batches.append(len(latents))
        self.times.append(float(time))
        assert len(arguments["encoder_hidden_states"]) == len(latents)
        return self.unet(latents, time, **arguments)


@pytest.mark.parametrize(
    ("interval", "guided"),
    [
        ((0.0, 1.0), [0, 1, 2, 3, 4]),
        ((0.2, 0.6), [1, 2]),
        ((0.0, 0.5), [0, 1, 2]),
        ((0.6, 1.0), [3, 4]),
        ((0.9, 1.0), []),
    ],
)
@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_outside_the_guidance_interval_half_is_asked(
    pipes: dict[str, Pipeline], architecture: str, interval: tuple[float, float], guided: list[int]
) -> None:
    counted = Counted(pipes[architecture])
    found = ours(pipes[architecture], "euler", 6.0, counted, interval)
    assert counted.batches == [4 if step in guided else 2 for step in range(STEPS)]
    assert counted.times == sorted(counted.times, reverse=True)
    whole, none = ours(pipes[architecture], "euler", 6.0), ours(pipes[architecture], "euler", 1.0)
    assert torch.equal(found, whole) == (len(guided) == STEPS)
    assert torch.allclose(found, none, atol=1e-3) == (not guided)


def test_a_scale_of_1_never_doubles(pipes: dict[str, Pipeline]) -> None:
    counted = Counted(pipes["sd1"])
    ours(pipes["sd1"], "dpm++", 1.0, counted)
    assert counted.batches == [2] * STEPS


def test_guidance_is_a_straight_line_through_both_predictions(pipes: dict[str, Pipeline]) -> None:
    """One step of Euler is linear in the prediction, so three scales lie on a line (Ho and Salimans 2022, eq. 6)."""
    pipe = pipes["sd1"]
    start = torch.zeros(noise_of().shape)
    plain, double, triple = (ours(pipe, "euler", scale, start=start, start_strength=0.2) for scale in (1.0, 2.0, 3.0))
    assert torch.allclose(triple - double, double - plain, atol=1e-5)
    assert (double - plain).abs().max() > 1e-3


def test_image_to_image_counts_its_guided_steps_from_the_first_of_the_whole_schedule(
    pipes: dict[str, Pipeline],
) -> None:
    counted = Counted(pipes["sd1"])
    start = torch.zeros(noise_of().shape)
    ours(pipes["sd1"], "euler", 6.0, counted, (0.0, 0.6), start=start, start_strength=0.6)
    assert counted.batches == [4, 2, 2]  # steps 2, 3 and 4


def test_latents_stay_in_fp32_and_the_denoiser_is_asked_in_its_own_precision(tmp_path: Path) -> None:
    pipe = build("sdxl", tmp_path, small=True, seed=0)
    texts = embed(pipe, PROMPTS), embed(pipe, NEGATIVES)
    torch.nn.Module.to(pipe.unet, torch.bfloat16)
    asked = []
    pipe.unet.register_forward_pre_hook(lambda module, given: asked.append(given[0].dtype))
    sampler = build_sampler(pipe.scheduler.config, "dpm++")
    latents = denoise(
        pipe.unet, sampler, texts, noise_of(), Guidance(3.0), steps=2, size_px=SIZE_PX, dtype=torch.bfloat16
    )
    assert asked == [torch.bfloat16] * 2
    assert latents.dtype == torch.float32
    assert not torch.equal(latents, latents.bfloat16().float())


# --- seeds and noise


def test_a_seed_is_blake2b_of_the_sets_seed_the_plane_and_the_index() -> None:
    cfg = GenerateConfig(per_class=1, seed=7)
    for attempt, last in ((0, ""), (3, "\x1fint:3")):
        text = f"str:generate\x1fint:7\x1fstr:femur\x1fint:12{last}"
        digest = hashlib.blake2b(text.encode(), digest_size=8).digest()
        assert image_seed(cfg, "femur", 12, attempt) == int.from_bytes(digest, "big") // 2


def test_seeds_never_change() -> None:
    """Every set that was ever drawn hangs on these."""
    cfg = GenerateConfig(per_class=1)
    assert image_seed(cfg, "brain", 0) == 4_318_451_972_265_929_618
    assert image_seed(cfg, "brain", 0, 1) == 8_597_052_337_417_821_756
    assert image_seed(cfg, "abdomen", 999_999) == 114_789_095_124_864_545
    assert image_seed(GenerateConfig(per_class=1, seed=-1), "other", 5) == 7_706_060_282_149_198_422


def test_seeds_differ_by_set_plane_index_and_attempt_and_by_nothing_else() -> None:
    cfg = GenerateConfig(per_class=1)
    planes: Sequence[Any] = ("brain", "femur")
    seeds = {
        image_seed(cfg.model_copy(update={"seed": seed}), plane, index, attempt)
        for seed in (0, 1)
        for plane in planes
        for index in range(20)
        for attempt in range(3)
    }
    assert len(seeds) == 2 * 2 * 20 * 3
    other = GenerateConfig(per_class=9, steps=3, batch_size=2, sampler="euler", image_size_px=128)
    assert image_seed(other, "brain", 4) == image_seed(cfg, "brain", 4)


def test_noise_is_drawn_for_each_picture_by_itself_and_is_standard_normal() -> None:
    many = start_noise(4, (32, 48), range(20))
    assert many.shape == (20, 4, 32, 48)
    assert torch.equal(many[7], start_noise(4, (32, 48), [7])[0])
    assert torch.equal(many[7], torch.randn(4, 32, 48, generator=torch.Generator().manual_seed(7)))
    count = many.numel()
    assert abs(many.mean().item()) < 5 / count**0.5
    assert abs(many.var().item() - 1) < 5 * (2 / count) ** 0.5


# --- pictures


@contextmanager
def decoded_batches(vae: AutoencoderKL, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    real, seen = vae.decode, list[int]()

    def counted(latents: Tensor) -> Any:
        seen.append(len(latents))
        return real(latents)

    with monkeypatch.context() as patched:
        patched.setattr(vae, "decode", counted)
        yield seen


@pytest.mark.parametrize(("count", "parts"), [(1, [1]), (8, [8]), (9, [5, 5]), (16, [8, 8]), (20, [7, 7, 7])])
def test_parts_that_are_decoded_are_of_one_size(
    backbone: Path, monkeypatch: pytest.MonkeyPatch, count: int, parts: list[int]
) -> None:
    vae = load_backbone(backbone).vae
    latents = start_noise(4, (8, 8), range(count))
    whole = decode(vae, latents)
    monkeypatch.setattr(sample, "DECODED_LATENTS", 8 * 64 + 63)
    with decoded_batches(vae, monkeypatch) as seen:
        found = decode(vae, latents)
    assert seen == parts
    assert found.shape == (count, 3, 32, 32)
    assert torch.allclose(found, whole, atol=1e-5)


def test_a_picture_larger_than_what_is_decoded_at_once_is_decoded_alone(
    backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    vae = load_backbone(backbone).vae
    monkeypatch.setattr(sample, "DECODED_LATENTS", 10)
    with decoded_batches(vae, monkeypatch) as seen:
        decode(vae, start_noise(4, (8, 8), SEEDS))
    assert seen == [1, 1]


def test_decoding_is_that_of_diffusers(pipes: dict[str, Pipeline]) -> None:
    for name in ("sd1", "sdxl"):
        vae, latents = pipes[name].vae, 0.5 * noise_of()
        with torch.no_grad():
            raw = vae.decode(latents / vae.config.scaling_factor).sample
        expected = VaeImageProcessor().postprocess(raw, output_type="pt")
        assert torch.equal(decode(vae, latents), expected)
        assert expected.std() > 0.01


def test_gray_pictures_are_encoded_as_diffusers_encodes_them(pipes: dict[str, Pipeline]) -> None:
    vae = pipes["sd1"].vae
    pictures = torch.randint(0, 256, (2, 64, 96), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        given = VaeImageProcessor().preprocess(pictures[:, None].repeat(1, 3, 1, 1) / 255)
        expected = vae.encode(given).latent_dist.mode() * vae.config.scaling_factor
    found = encode(vae, pictures)
    assert found.shape == (2, 4, 8, 12)
    assert torch.allclose(found, expected, atol=1e-6)


def test_gray_is_the_mean_of_the_channels_and_colour_has_three() -> None:
    channels = torch.tensor([[0.0, 0.2, 0.4], [1.0, 0.4, 0.4]])
    pictures = channels[:, :, None, None].expand(2, 3, 4, 6)
    gray, finite = to_pixels(pictures, gray=True)
    assert gray.shape == (2, 4, 6)
    assert gray.dtype == torch.uint8
    assert [picture.unique().tolist() for picture in gray] == [[51], [153]]
    colour, _ = to_pixels(pictures, gray=False)
    assert colour.shape == (2, 4, 6, 3)
    assert colour[1, 0, 0].tolist() == [255, 102, 102]
    assert finite.tolist() == [True, True]


@pytest.mark.parametrize("gray", [True, False])
def test_what_is_no_number_becomes_0_in_its_own_picture_alone(gray: bool) -> None:
    pictures = torch.full((3, 3, 2, 2), 0.5)
    pictures[1, 2, 0, 0] = float("nan")
    pixels, finite = to_pixels(pictures, gray=gray)
    assert finite.tolist() == [True, False, True]
    assert pixels[1, 0, 0].min() == 0
    assert (pixels[::2] == 128).all()
    assert to_pixels(torch.full((1, 3, 2, 2), float("nan")), gray=gray)[0].max() == 0
