"""A backbone made ready to draw many pictures: prompts embedded once, text encoders gone, weights on the device."""

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

from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.labels import Plane
from fulora.diffusion.config import GenerateConfig, Sampler
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.compiling import UNet
from fulora.diffusion.models.conditioning import Conditioning, embed
from fulora.diffusion.models.controlnet import ControlledUNet, load_control, masks_to_condition
from fulora.diffusion.models.loading import BackboneError
from fulora.diffusion.sampling.compute import DTYPES, Compute, as_denoiser, pinned_threads, placed
from fulora.diffusion.sampling.drawing_config import Drawing
from fulora.diffusion.sampling.ingredients import start_rows
from fulora.diffusion.sampling.recipe import RecipeError
from fulora.diffusion.sampling.sample import Guidance, decode, denoise, encode, image_seed, start_noise, to_pixels
from fulora.diffusion.sampling.samplers import build_sampler

Mask = UInt8[np.ndarray, "h w"]


class BatchTooLargeError(ValueError):
    """More pictures at once than a GPU has memory for."""


@dataclass(frozen=True)
class Draft:
    """A picture that is to be drawn: image `index` of a plane, for the `attempt`-th time, counted from 0."""

    plane: Plane
    index: int
    attempt: int = 0


@dataclass(frozen=True)
class Drawn:
    """A picture that was drawn.

    Attributes:
        pixels: (height, width) gray, or with a third axis of three colours.
        finite: whether it was made of numbers.
        start: the row of the image it was drawn over.
        mask: (height, width), class numbers, that it was drawn on.
    """

    draft: Draft
    seed: int
    sampler: Sampler
    pixels: UInt8[np.ndarray, "h w *rgb"]
    finite: bool
    start: Image | None
    mask: Mask | None = None


@dataclass(frozen=True)
class Painter:
    """Draws pictures, a batch at a time. Nothing of one picture depends on the others in its batch.

    Attributes:
        texts: the embeddings of `prompts`, the negative one among them.
        start_set, start_of: the image set, and the row of it that a picture is drawn over; None from noise alone.
        control, mask_of: a ControlNet, and the mask that a picture is drawn on; None leaves it to the prompt.
    """

    cfg: Drawing
    compute: Compute
    unet: UNet
    vae: AutoencoderKL
    schedule: Any
    channels: int
    pixels_a_latent: int
    prompts: Sequence[str]
    texts: Conditioning
    start_set: ImageSet | None = None
    start_of: Callable[[Draft], Image | None] = lambda draft: None
    control: ControlNetModel | None = None
    mask_of: Callable[[Draft], Mask | None] = lambda draft: None

    def draw(self, drafts: Sequence[Draft]) -> list[Drawn]:
        """Pictures of one sampler, at most a batch; a batch that is not full is filled up with its last picture.

        Raises:
            BatchTooLargeError: the GPU has no memory for a batch.
        """
        try:
            with pinned_threads(self.compute):
                return self._draw(drafts)
        except torch.OutOfMemoryError as error:
            raise BatchTooLargeError(
                f"{self.compute.hardware} has no memory for batch_size={self.compute.batch_size} pictures of "
                f"{self.cfg.size[0]}x{self.cfg.size[1]} px; give a smaller batch_size and a new folder"
            ) from error

    @torch.no_grad()
    def _draw(self, drafts: Sequence[Draft]) -> list[Drawn]:
        cfg = self.cfg
        filled = [*drafts, *[drafts[-1]] * (self.compute.batch_size - len(drafts))]
        seeds = [image_seed(cfg, draft.plane, draft.index, draft.attempt) for draft in filled]
        sampler, (width, height) = sampler_of(cfg, drafts[0]), cfg.size
        latent_size = (height // self.pixels_a_latent, width // self.pixels_a_latent)
        prompts = [cfg.prompts[draft.plane] for draft in filled]
        latents = denoise(
            self._told(filled),
            build_sampler(self.schedule, sampler),
            (self._texts(prompts), self._texts([cfg.negative_prompt] * len(prompts))),
            start_noise(self.channels, latent_size, seeds).to(self.compute.device),
            Guidance(cfg.guidance_scale, cfg.guidance_interval),
            steps=cfg.steps,
            size_px=(height, width),
            dtype=DTYPES[self.compute.precision],
            start=self._encoded(filled),
            start_strength=cfg.start_strength,
        )
        pixels, finite = to_pixels(decode(self.vae, latents), gray=cfg.colour == "gray")
        pictures = zip(drafts, seeds, pixels.cpu().numpy(), finite.tolist(), strict=False)
        return [
            Drawn(draft, seed, sampler, array, good, self.start_of(draft), self.mask_of(draft))
            for draft, seed, array, good in pictures
        ]

    def _told(self, drafts: Sequence[Draft]) -> UNet:
        """The denoiser, which knows the mask of each picture where there is a ControlNet."""
        if self.control is None:
            return self.unet
        masks = masks_to_condition(np.stack([mask for draft in drafts if (mask := self.mask_of(draft)) is not None]))
        return ControlledUNet(self.unet, self.control, masks.to(self.compute.device, DTYPES[self.compute.precision]))

    def _texts(self, prompts: Sequence[str]) -> Conditioning:
        return self.texts.at([self.prompts.index(prompt) for prompt in prompts])

    def _encoded(self, drafts: Sequence[Draft]) -> Float[Tensor, "b c h w"] | None:
        """Each by itself, so that its last digits do not depend on the batch."""
        if self.start_set is None:
            return None
        pictures = []
        for draft in drafts:
            row = self.start_of(draft)
            if row is None:
                raise RecipeError(f"{draft.plane}: there is no image to start from")
            fitted = ImageOps.fit(Pil.fromarray(self.start_set.pixels(row)), self.cfg.size, Pil.Resampling.LANCZOS)
            pictures.append(encode(self.vae, torch.from_numpy(np.array(fitted))[None]))
        return torch.cat(pictures).to(self.compute.device)


def sampler_of(cfg: GenerateConfig, draft: Draft) -> Sampler:
    """The sampler of a picture: those of the config in turn, by index."""
    return cfg.samplers[draft.index % len(cfg.samplers)]


def prepare(pipe: Pipeline, cfg: Drawing, compute: Compute) -> Painter:
    """Make a pipeline, in fp32 on the CPU with LoRAs fused, ready; it is of no other use afterwards.

    Raises:
        BackboneError: a size that the autoencoder cannot hold, or a prompt that is too long.
    """
    check_size(pipe, cfg)
    placed(pipe, compute)
    prompts = [*dict.fromkeys([*(cfg.prompts[plane] for plane in cfg.planes), cfg.negative_prompt])]
    with torch.no_grad(), pinned_threads(compute):  # each alone: those beside it could change its last digits
        texts = [embed(pipe, [prompt], cfg.clip_skip) for prompt in prompts]
    return Painter(
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


def starting_from(painter: Painter, start: Path | None) -> Painter:
    """The painter, drawing over the training images of an image set: those of each plane in turn, by index.

    Raises:
        RecipeError: a plane has none.
    """
    if start is None:
        return painter
    rows = start_rows(start, painter.cfg)

    def start_of(draft: Draft) -> Image:
        return rows[draft.plane][draft.index % len(rows[draft.plane])]

    return replace(painter, start_set=ImageSet(start, ""), start_of=start_of)


def drawing_on(painter: Painter, control: Path, mask_of: Callable[[Draft], Mask]) -> Painter:
    """The painter, drawing each picture on a mask of its size by the ControlNet in a folder.

    Raises:
        BackboneError: there is no ControlNet.
    """
    loaded = load_control(control)
    loaded.to(torch.device(painter.compute.device))
    as_denoiser(loaded, painter.compute)
    return replace(painter, control=loaded, mask_of=mask_of)


def check_size(pipe: Pipeline, cfg: GenerateConfig) -> None:
    """Refuse a size that is no whole number of latent pixels.

    Raises:
        BackboneError: it is not.
    """
    step = pipe.vae_scale_factor
    if any(side % step for side in cfg.size):
        width, height = cfg.size
        raise BackboneError(
            f"image_size_px={width}x{height}: the backbone draws sides that are multiples of {step} px; give "
            f"{width // step * step or step}x{height // step * step or step}"
        )
