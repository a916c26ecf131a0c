"""A backbone prepared to generate many images: prompts embedded once, text encoders released, weights on the device."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, ControlNetModel
from jaxtyping import Float, UInt8
from PIL import Image as Pil
from PIL import ImageOps
from torch import Tensor

from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.compiling import UNet
from fulora.diffusion.models.conditioning import Conditioning, embed
from fulora.diffusion.models.controlnet import ControlledUNet, load_control, masks_to_condition
from fulora.diffusion.models.loading import BackboneError
from fulora.diffusion.sampling.compute import DTYPES, Compute, cast_denoiser, move_to_device, pinned_threads
from fulora.diffusion.sampling.config import GenerateConfig, Sampler, SamplingConfig
from fulora.diffusion.sampling.inputs import start_rows
from fulora.diffusion.sampling.recipe import RecipeError
from fulora.diffusion.sampling.sample import Guidance, decode, denoise, encode, image_seed, start_noise, to_pixels
from fulora.diffusion.sampling.samplers import build_sampler
from fulora.training.devices import is_out_of_memory, missing_operations_named

Mask = UInt8[np.ndarray, "h w"]


class BatchTooLargeError(ValueError):
    """A batch needs more memory than the GPU has."""


@dataclass(frozen=True)
class ImageRequest:
    """A request for image `index` of a class; `attempt`, counted from 0, is higher after rejections."""

    plane: Plane
    index: int
    attempt: int = 0


@dataclass(frozen=True)
class GeneratedImage:
    """A generated image.

    Attributes:
        pixels: (height, width) gray, or with a third axis of three colours.
        finite: whether all values were finite before they became pixels.
        start: the row of the image that it started from.
        mask: (height, width), class numbers, that the ControlNet was conditioned on.
    """

    request: ImageRequest
    seed: int
    sampler: Sampler
    pixels: UInt8[np.ndarray, "h w *rgb"]
    finite: bool
    start: Image | None
    mask: Mask | None = None


@dataclass(frozen=True)
class ImageGenerator:
    """Generates images in batches. No image depends on the others in its batch.

    Attributes:
        texts: the embeddings of `prompts`, which include the negative prompt.
        start_set, start_of: an image set, and the row of it that an image starts from; None: from noise alone.
        control, mask_of: a ControlNet, and the mask that it is conditioned on for an image; None: by the prompt alone.
    """

    cfg: SamplingConfig
    compute: Compute
    unet: UNet
    vae: AutoencoderKL
    schedule: Any
    channels: int
    pixels_a_latent: int
    prompts: Sequence[str]
    texts: Conditioning
    start_set: ImageSet | None = None
    start_of: Callable[[ImageRequest], Image | None] = lambda request: None
    control: ControlNetModel | None = None
    mask_of: Callable[[ImageRequest], Mask | None] = lambda request: None

    def generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        """Generate images of one sampler, at most a batch; an incomplete batch is filled up with its last request.

        Raises:
            BatchTooLargeError: if the GPU has too little memory for a batch.
            DeviceError: if the device lacks an operation.
        """
        try:
            with pinned_threads(self.compute), missing_operations_named():
                return self._generate(requests)
        except RuntimeError as error:
            if not is_out_of_memory(error):
                raise
            raise BatchTooLargeError(
                f"{self.compute.hardware} has no memory for batch_size={self.compute.batch_size} images of "
                f"{self.cfg.size[0]}x{self.cfg.size[1]} px; give a smaller batch_size and a new folder"
            ) from error

    @torch.no_grad()
    def _generate(self, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        cfg = self.cfg
        filled = [*requests, *[requests[-1]] * (self.compute.batch_size - len(requests))]
        seeds = [image_seed(cfg, request.plane, request.index, request.attempt) for request in filled]
        sampler = sampler_of(cfg, requests[0])
        width, height = cfg.size
        latent_size = (height // self.pixels_a_latent, width // self.pixels_a_latent)
        prompts = [cfg.prompts[request.plane] for request in filled]
        latents = denoise(
            self._denoiser(filled),
            build_sampler(self.schedule, sampler),
            (self._texts(prompts), self._texts([cfg.negative_prompt] * len(prompts))),
            start_noise(self.channels, latent_size, seeds).to(self.compute.device),
            Guidance(cfg.guidance_scale, cfg.guidance_interval),
            steps=cfg.steps,
            size_px=(height, width),
            dtype=DTYPES[self.compute.precision],
            start=self._start_latents(filled),
            start_strength=cfg.start_strength,
        )
        pixels, finite = to_pixels(decode(self.vae, latents), gray=cfg.colour == "gray")
        images = zip(requests, seeds, pixels.cpu().numpy(), finite.tolist(), strict=False)
        return [
            GeneratedImage(request, seed, sampler, array, is_finite, self.start_of(request), self.mask_of(request))
            for request, seed, array, is_finite in images
        ]

    def _denoiser(self, requests: Sequence[ImageRequest]) -> UNet:
        if self.control is None:
            return self.unet
        masks = masks_to_condition(
            np.stack([mask for request in requests if (mask := self.mask_of(request)) is not None])
        )
        return ControlledUNet(self.unet, self.control, masks.to(self.compute.device, DTYPES[self.compute.precision]))

    def _texts(self, prompts: Sequence[str]) -> Conditioning:
        return self.texts.at([self.prompts.index(prompt) for prompt in prompts])

    def _start_latents(self, requests: Sequence[ImageRequest]) -> Float[Tensor, "b c h w"] | None:
        """Each encoded by itself, so that its last digits do not depend on the batch."""
        if self.start_set is None:
            return None
        latents = []
        for request in requests:
            row = self.start_of(request)
            if row is None:
                raise RecipeError(f"{request.plane}: there is no image to start from")
            fitted = ImageOps.fit(Pil.fromarray(self.start_set.pixels(row)), self.cfg.size, Pil.Resampling.LANCZOS)
            latents.append(encode(self.vae, torch.from_numpy(np.array(fitted))[None]))
        return torch.cat(latents).to(self.compute.device)


def sampler_of(cfg: GenerateConfig, request: ImageRequest) -> Sampler:
    """Return the sampler of an image: those of the config in turn, by index."""
    return cfg.samplers[request.index % len(cfg.samplers)]


def build_generator(pipe: Pipeline, cfg: SamplingConfig, compute: Compute) -> ImageGenerator:
    """Build a generator from a pipeline on the CPU with LoRAs fused. The pipeline is used up.

    Raises:
        BackboneError: if the backbone cannot generate the size, or a prompt is too long.
    """
    check_size(pipe, cfg)
    move_to_device(pipe, compute)
    prompts = [*dict.fromkeys([*(cfg.prompts[plane] for plane in cfg.planes), cfg.negative_prompt])]
    with torch.no_grad(), pinned_threads(compute):  # each by itself: others in a batch could change its last digits
        texts = [embed(pipe, [prompt], cfg.clip_skip) for prompt in prompts]
    return ImageGenerator(
        cfg=cfg,
        compute=compute,
        unet=torch.compile(pipe.unet, dynamic=False) if compute.compiled else pipe.unet,
        vae=pipe.vae,
        schedule=pipe.scheduler.config,
        channels=pipe.unet.config.in_channels,
        pixels_a_latent=pipe.vae_scale_factor,
        prompts=prompts,
        texts=reduce(Conditioning.followed_by, texts),
    )


def with_start_images(generator: ImageGenerator, start: Path | None) -> ImageGenerator:
    """Return the generator that starts from the training images of an image set: those of each class in turn, by index.

    Raises:
        RecipeError: if a class has none.
    """
    if start is None:
        return generator
    rows = start_rows(start, generator.cfg)

    def start_of(request: ImageRequest) -> Image:
        return rows[request.plane][request.index % len(rows[request.plane])]

    return replace(generator, start_set=ImageSet(start, ""), start_of=start_of)


def with_control(generator: ImageGenerator, control: Path, mask_of: Callable[[ImageRequest], Mask]) -> ImageGenerator:
    """Return the generator conditioned on a mask for each image by the ControlNet in a folder.

    Raises:
        BackboneError: if the folder has no ControlNet.
    """
    model = load_control(control)
    cast_denoiser(model, generator.compute)
    return replace(generator, control=model, mask_of=mask_of)


def check_size(pipe: Pipeline, cfg: GenerateConfig) -> None:
    """Check that an image has a whole number of latent pixels.

    Raises:
        BackboneError: if it has not.
    """
    step = pipe.vae_scale_factor
    if any(side % step for side in cfg.size):
        width, height = cfg.size
        raise BackboneError(
            f"image_size_px={width}x{height}: the backbone generates sides that are multiples of {step} px; give "
            f"{width // step * step or step}x{height // step * step or step}"
        )
