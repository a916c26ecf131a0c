"""Generated images: what they depend on and what not; sizes, colours, LoRAs, prompts, images to start from."""

import gc
import weakref
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from image_rows import image_row
from jaxtyping import UInt8
from PIL import Image as Pil
from PIL import ImageOps

import fulora
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.diffusion.config import PretrainConfig
from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.weights import Lora, LoraModule
from fulora.diffusion.lora.write import write_lora
from fulora.diffusion.models.architectures import Pipeline, build, build_backbone
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.models.tokenizers import collect_words
from fulora.diffusion.sampling.compute import Compute, Precision
from fulora.diffusion.sampling.config import GenerateConfig, SamplingConfig, resolve_config
from fulora.diffusion.sampling.image_generator import (
    BatchTooLargeError,
    GeneratedImage,
    ImageGenerator,
    ImageRequest,
    build_generator,
    check_size,
    sampler_of,
    with_start_images,
)
from fulora.diffusion.sampling.recipe import RecipeError
from fulora.diffusion.sampling.sample import encode, image_seed, start_noise
from fulora.diffusion.sampling.samplers import as_numpy_2, build_sampler

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")

EMBEDDED = Path(fulora.__file__).parent / "assets" / "diffusion"
FETAL = label_set("fetal_planes")
BRAINS = [ImageRequest("brain", index) for index in range(5)]


def like(**changes: Any) -> SamplingConfig:
    small = {"per_class": 4, "image_size_px": 32, "steps": 3, "batch_size": 3, "threads": 1, "device": "cpu"}
    return resolve_config(GenerateConfig.model_validate(small | changes), FETAL)


def compute_of(cfg: SamplingConfig, precision: Precision = "fp32") -> Compute:
    return Compute(
        device="cpu",
        hardware="a test's",
        precision=precision,
        layout="contiguous",
        compiled=False,
        batch_size=cfg.batch_size,
        threads=cfg.threads,
    )


def generator_of(source: Path | Pipeline, **changes: Any) -> ImageGenerator:
    cfg = like(**changes)
    return build_generator(load_backbone(source) if isinstance(source, Path) else source, cfg, compute_of(cfg))


def pixels_of(
    generator: ImageGenerator, requests: Sequence[ImageRequest]
) -> dict[ImageRequest, UInt8[np.ndarray, "h w *rgb"]]:
    """GeneratedImage batch after batch."""
    size = generator.compute.batch_size
    batches = [requests[first : first + size] for first in range(0, len(requests), size)]
    return {drawn.request: drawn.pixels for batch in batches for drawn in generator.generate(batch)}


def one(source: Path | Pipeline, **changes: Any) -> GeneratedImage:
    (drawn,) = generator_of(source, **changes).generate(BRAINS[:1])
    return drawn


def same(first: dict[ImageRequest, Any], second: dict[ImageRequest, Any]) -> bool:
    return first.keys() == second.keys() and all(np.array_equal(first[request], second[request]) for request in first)


# --- of what a picture does not depend


def test_pictures_do_not_depend_on_order_neighbours_or_slot(backbone: Path) -> None:
    generator = generator_of(backbone)
    forth = pixels_of(generator, BRAINS)
    assert list(forth) == BRAINS
    assert same(forth, {request: pixels_of(generator, [request])[request] for request in BRAINS})
    for order in ([4, 2, 0, 3, 1], [3, 4, 1, 2, 0]):
        mixed = [request for place in order for request in (BRAINS[place], ImageRequest("femur", place))]
        found = pixels_of(generator, mixed)
        assert same(forth, {request: found[request] for request in BRAINS})
    assert len({pixels.tobytes() for pixels in forth.values()}) == len(BRAINS)


@pytest.mark.parametrize("architecture", ["sd1", "sdxl"])
def test_nor_do_those_of_published_architectures(tmp_path: Path, architecture: Any, shallow_sdxl: None) -> None:
    """Slots of a batch of two, which guidance makes four."""
    generator = generator_of(build(architecture, tmp_path, small=True, seed=0), image_size_px=64, batch_size=2, steps=2)
    first, second = ImageRequest("brain", 0), ImageRequest("femur", 1)
    forth, back = pixels_of(generator, [first, second]), pixels_of(generator, [second, first])
    assert same(forth, {request: back[request] for request in forth})
    assert same(forth, pixels_of(generator, [first]) | pixels_of(generator, [second]))


def test_a_picture_does_not_depend_on_the_planes_of_its_set(tmp_path: Path, shallow_sdxl: None) -> None:
    """`fulora regenerate` reads the prompts of what it draws alone; SDXL's pooled embedding would tell."""
    found = []
    for name, planes in (("a", ("brain",)), ("b", FETAL.names)):
        pipe = build("sdxl", tmp_path / name, small=True, seed=0)
        generator = generator_of(pipe, image_size_px=64, batch_size=2, steps=2, planes=planes)
        found.append((generator._texts([generator.cfg.prompts["brain"]]), generator.generate(BRAINS[:1])[0].pixels))
    (few, alone), (many, among) = found
    assert few.pooled is not None
    assert many.pooled is not None
    assert torch.equal(few.states, many.states)
    assert torch.equal(few.pooled, many.pooled)
    assert np.array_equal(alone, among)


@pytest.mark.parametrize("threads", [2, 3])
def test_pictures_do_not_depend_on_the_threads_that_torch_has(threads: int) -> None:
    """Of the embedded backbone; a CPU's last digits depend on the threads that are used, which the set fixes."""
    requests = [ImageRequest("brain", index) for index in range(4)]
    settings = {"image_size_px": 64, "steps": 5, "batch_size": 4}
    pipe, seen, before = load_backbone(EMBEDDED), set[int](), torch.get_num_threads()
    for module in (pipe.unet, pipe.text_encoder, pipe.vae.decoder):
        module.register_forward_pre_hook(lambda module, given: seen.add(torch.get_num_threads()))
    reference = pixels_of(generator_of(EMBEDDED, **settings), requests)
    try:
        torch.set_num_threads(threads)
        found = pixels_of(generator_of(pipe, **settings), requests)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(before)
    assert seen == {1}
    assert same(reference, found)


def test_another_batch_size_changes_a_gray_level_of_one_pixel_in_a_thousand_at_most() -> None:
    """The embedded backbone with default settings: 20 pictures in batches of 1, 2, 4, 6 and 7, against one of 20."""
    requests = [ImageRequest(plane, index) for index in range(4) for plane in FETAL.names][:20]
    pipe, cfg = load_backbone(EMBEDDED), resolve_config(GenerateConfig(per_class=4, threads=1), FETAL)
    generator = build_generator(pipe, cfg, compute_of(cfg))
    reference = generator.generate(requests)
    found: list[GeneratedImage] = []
    for size in (1, 2, 4, 6, 7):
        smaller = replace(generator, compute=generator.compute.model_copy(update={"batch_size": size}))
        found += smaller.generate(requests[len(found) : len(found) + size])
    assert [drawn.request for drawn in found] == requests
    difference = np.abs(
        np.stack([drawn.pixels.astype(int) for drawn in found]) - np.stack([drawn.pixels for drawn in reference])
    )
    assert difference.shape == (20, 64, 64)
    assert difference.max() <= 1
    assert (difference > 0).mean() <= 0.001


# --- of what it does


def test_its_seed_is_that_of_its_plane_index_and_attempt(backbone: Path) -> None:
    generator = generator_of(backbone, seed=3)
    requests = [ImageRequest("femur", 3), ImageRequest("femur", 3, attempt=1), ImageRequest("brain", 3)]
    drawn = generator.generate(requests)
    assert [each.request for each in drawn] == requests
    assert [each.seed for each in drawn] == [image_seed(generator.cfg, d.plane, d.index, d.attempt) for d in requests]
    assert len({each.pixels.tobytes() for each in drawn}) == 3


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 1},
        {"prompts": dict.fromkeys(FETAL.names, "bone")},
        {"guidance_scale": 9.0},
        {"guidance_interval": (0.0, 0.5)},
        {"negative_prompt": "bone"},
        {"clip_skip": 2},
        {"steps": 4},
        {"sampler": "euler"},
    ],
    ids=lambda change: next(iter(change)),
)
def test_every_setting_changes_the_picture(backbone: Path, change: dict[str, Any]) -> None:
    assert not np.array_equal(one(backbone, **change).pixels, one(backbone).pixels)


def test_samplers_are_taken_in_turn_by_index(backbone: Path) -> None:
    cfg = like(sampler=("euler", "unipc", "ddim"))
    assert [sampler_of(cfg, ImageRequest("brain", index)) for index in (0, 1, 2, 3, 7)] == [
        "euler",
        "unipc",
        "ddim",
        "euler",
        "unipc",
    ]
    generator = generator_of(backbone, sampler=("euler", "unipc", "ddim"))
    for index, name in enumerate(("euler", "unipc", "ddim", "euler")):
        (drawn,) = generator.generate([ImageRequest("brain", index)])
        (alone,) = generator_of(backbone, sampler=name).generate([ImageRequest("brain", index)])
        assert (drawn.sampler, alone.sampler) == (name, name)
        assert np.array_equal(drawn.pixels, alone.pixels)


# --- sizes and colours


@pytest.mark.parametrize("size", [(48, 32), (32, 48), (64, 24), (40, 40)])
def test_pictures_have_the_width_and_height_asked_for_and_are_those_of_diffusers(
    backbone: Path, size: tuple[int, int]
) -> None:
    """diffusers' own pipeline, asked for as many at once and with the same noise, gives the same pixels."""
    width, height = size
    requests = BRAINS[:3]
    found = generator_of(backbone, image_size_px=size, guidance_scale=5.0).generate(requests)
    colour = generator_of(backbone, image_size_px=size, guidance_scale=5.0, colour="rgb").generate(requests)
    pipe = load_backbone(backbone)
    pipe.scheduler = build_sampler(pipe.scheduler.config, "dpm++")
    noise = start_noise(4, (height // 4, width // 4), [drawn.seed for drawn in found])
    with as_numpy_2():
        theirs = pipe(
            ["a photo of fetal brain"] * 3,
            negative_prompt=[""] * 3,
            width=width,
            height=height,
            latents=noise,
            num_inference_steps=3,
            guidance_scale=5.0,
            output_type="np",
        ).images
    for gray, rgb, expected in zip(found, colour, theirs, strict=True):
        assert gray.pixels.shape == (height, width)
        assert rgb.pixels.shape == (height, width, 3)
        assert (gray.pixels.dtype, rgb.pixels.dtype) == (np.uint8, np.uint8)
        assert np.abs(rgb.pixels - 255 * expected).max() < 0.501
        assert np.abs(gray.pixels - 255 * expected.mean(axis=2)).max() < 0.501
        assert gray.finite


def test_a_size_the_autoencoder_cannot_hold_is_refused(tmp_path: Path) -> None:
    tiny = PretrainConfig(vae_channels=(8,) * 5, unet_channels=(16, 32), text_width=16)
    pipe = build_backbone(tiny, 32, tmp_path, collect_words(()))
    check_size(pipe, like(image_size_px=(48, 32)))
    for size, nearest in (((40, 32), "32x32"), ((64, 56), "64x48"), (8, "16x16")):
        width, height = like(image_size_px=size).size
        said = f"image_size_px={width}x{height}: .* sides that are multiples of 16 px; give {nearest}"
        with pytest.raises(BackboneError, match=said):
            generator_of(pipe, image_size_px=size)


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize("colour", ["gray", "rgb"])
def test_broken_weights_give_no_numbers_and_black_pixels(backbone: Path, part: str, colour: str) -> None:
    pipe = load_backbone(backbone)
    with torch.no_grad():
        next(getattr(pipe, part).parameters()).fill_(float("nan"))
        pipe.vae.decoder.conv_in.weight.fill_(float("nan"))
    drawn = one(pipe, colour=colour)
    assert not drawn.finite
    assert not drawn.pixels.any()
    assert one(backbone).finite


# --- prompts


def test_each_prompt_is_embedded_once_alone_and_the_text_encoder_let_go(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    seen: list[int] = []
    pipe.text_encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    encoder = weakref.ref(pipe.text_encoder)
    generator = generator_of(pipe, planes=("brain", "femur", "thorax"), negative_prompt="bone")
    del pipe
    pixels_of(generator, [*BRAINS, ImageRequest("femur", 0)])
    assert seen == [1, 1, 1, 1]
    gc.collect()
    assert encoder() is None


def test_equal_prompts_are_embedded_once(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    seen: list[int] = []
    pipe.text_encoder.register_forward_pre_hook(lambda module, given: seen.append(len(given[0])))
    generator = generator_of(pipe, prompts=dict.fromkeys(FETAL.names, "bone"), negative_prompt="bone")
    assert generator.prompts == ["bone"]
    assert seen == [1]


def test_clip_skip_2_is_diffusers_1(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    vars(pipe.text_encoder)["text_model"] = pipe.text_encoder  # where diffusers looks for it, as in transformers 4
    with torch.no_grad():
        expected, _ = pipe.encode_prompt("a photo of fetal brain", "cpu", 1, False, clip_skip=1)
    generator = generator_of(backbone, clip_skip=2)
    assert torch.allclose(generator._texts(["a photo of fetal brain"]).states, expected, atol=1e-6)


# --- LoRAs and precision


def some_lora(path: Path, seed: int) -> Path:
    """A file that adapts a layer of the UNet and one of the text encoder of the tiny backbone."""
    random = torch.Generator().manual_seed(seed)

    def module(rows: int, columns: int) -> LoraModule:
        return LoraModule(
            down=torch.randn(2, columns, generator=random), up=torch.randn(rows, 2, generator=random), alpha=1.0
        )

    layers = {
        "text_encoder.text_model.encoder.layers.1.mlp.fc1": module(32, 16),
        "unet.mid_block.attentions.0.transformer_blocks.0.attn2.to_k": module(32, 16),
    }
    write_lora(Lora(layers), path, format="diffusers")
    return path


def test_the_denoiser_is_cast_after_loras_were_fused_in_fp32(backbone: Path, tmp_path: Path) -> None:
    name = "mid_block.attentions.0.transformer_blocks.0.attn2.to_k.weight"
    fused, cast_first = load_backbone(backbone), load_backbone(backbone)
    torch.nn.Module.to(cast_first.unet, torch.bfloat16)
    for seed in (1, 2):
        for pipe in (fused, cast_first):
            load_lora(pipe, some_lora(tmp_path / f"{seed}.safetensors", seed), 0.1)
    weight = fused.unet.get_parameter(name).detach().clone()
    cfg = like()
    generator = build_generator(fused, cfg, compute_of(cfg, "bf16"))
    found: Any = generator.unet
    assert torch.equal(found.get_parameter(name), weight.to(torch.bfloat16))
    assert not torch.equal(found.get_parameter(name), cast_first.unet.get_parameter(name))
    assert {parameter.dtype for parameter in found.parameters()} == {torch.bfloat16}
    assert {parameter.dtype for parameter in generator.vae.parameters()} == {torch.float32}
    assert generator.texts.states.dtype == torch.float32


def test_bf16_pictures_are_nearly_those_of_fp32() -> None:
    cfg = resolve_config(GenerateConfig(per_class=1, steps=4, batch_size=2, threads=1), FETAL)
    exact, rounded = (
        np.stack([drawn.pixels.astype(float) for drawn in generator.generate(BRAINS[:2])])
        for generator in (
            build_generator(load_backbone(EMBEDDED), cfg, compute_of(cfg, kind)) for kind in ("fp32", "bf16")
        )
    )
    assert 0 < np.abs(exact - rounded).mean() < 2


# --- images to start from


def start_set(folder: Path) -> ImageSet:
    """Two brains and one femur to start from, of 40 x 24 px, and a brain to be tested on."""

    def picture(name: str, plane: str, split: str) -> Picture:
        noise = np.random.default_rng(list(name.encode())).integers(0, 256, (24, 40)).astype(np.uint8)
        return Picture(image_row(name, plane=plane, split=split, patient=name), noise)

    folder.mkdir()
    names = (("b2", "brain", "train"), ("b1", "brain", "train"), ("f1", "femur", "train"), ("b0", "brain", "test"))
    ImageSet.write(folder, [picture(*name) for name in names], labels=FETAL)
    return ImageSet(folder, "")


def test_pictures_are_drawn_over_the_training_images_of_their_plane_in_turn(tmp_path: Path, backbone: Path) -> None:
    images = start_set(tmp_path / "set")
    generator = with_start_images(generator_of(backbone, planes=("brain", "femur"), start_strength=0.34), images.path)
    drawn = generator.generate([ImageRequest("brain", 0), ImageRequest("brain", 1), ImageRequest("brain", 2)])
    assert [each.start.image_id for each in drawn if each.start] == ["b1", "b2", "b1"]
    assert [each.start.image_id for each in generator.generate([ImageRequest("femur", 5)]) if each.start] == ["f1"]
    again = generator.generate([ImageRequest("brain", 2), ImageRequest("brain", 0)])
    assert np.array_equal(again[1].pixels, drawn[0].pixels)
    assert not np.array_equal(generator_of(backbone).generate(BRAINS[:1])[0].pixels, drawn[0].pixels)
    assert with_start_images(generator, None) is generator


def test_a_start_image_is_fitted_and_encoded_each_by_itself(tmp_path: Path, backbone: Path) -> None:
    images = start_set(tmp_path / "set")
    generator = with_start_images(generator_of(backbone, planes=("brain",), image_size_px=(32, 48)), images.path)
    latents = generator._start_latents(BRAINS[:3])
    assert latents is not None
    assert latents.shape == (3, 4, 12, 8)
    pixels = images.pixels(next(row for row in images.rows("train") if row.image_id == "b2"))
    fitted = np.array(ImageOps.fit(Pil.fromarray(pixels), (32, 48), Pil.Resampling.LANCZOS))
    assert torch.equal(latents[1:2], encode(generator.vae, torch.from_numpy(fitted)[None]))


def test_a_plane_without_images_to_start_from_is_refused(tmp_path: Path, backbone: Path) -> None:
    images = start_set(tmp_path / "set")
    with pytest.raises(RecipeError, match="has no training image of thorax to start from; leave that plane out"):
        with_start_images(generator_of(backbone, planes=("brain", "thorax")), images.path)
    generator = replace(generator_of(backbone), start_set=images)
    with pytest.raises(RecipeError, match="brain: there is no image to start from"):
        generator.generate(BRAINS[:1])


# --- a GPU that is too small


def test_a_batch_too_large_for_the_gpu_is_reported(backbone: Path) -> None:
    def full(*given: Any, **arguments: Any) -> Any:
        raise torch.OutOfMemoryError("CUDA out of memory")

    generator = replace(generator_of(backbone, image_size_px=(48, 32)), unet=full)
    said = "a test's has no memory for batch_size=3 images of 48x32 px; give a smaller batch_size and a new folder"
    with pytest.raises(BatchTooLargeError, match=said):
        generator.generate(BRAINS[:1])
