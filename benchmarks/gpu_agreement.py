"""Networks on the CPU and on the GPU: how far their results are apart, and pictures a second; `gpu.py` writes them.

All have random weights. Each function returns `largest_difference`, the `tolerance` that the code states for it
(`fulora.training.inference`), `within`, and what was timed on the device.
"""

import copy
import time
from collections.abc import Callable
from typing import Any

import numpy as np
import open_clip
import torch
from torch import Tensor

from fulora.classification.config import ClassifierConfig
from fulora.classification.model import build_classifier
from fulora.classification.predict import predict
from fulora.clip.config import ClipPretrainConfig
from fulora.clip.embed import image_directions, text_directions
from fulora.clip.model import ClipModel, build_clip, build_tokenizer, image_size_px
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import Conditioning, unet_arguments
from fulora.diffusion.sampling.compute import DTYPES, Compute, cast_denoiser, move_to_device
from fulora.diffusion.sampling.sample import decode
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.model import build_unet
from fulora.segmentation.predict import probabilities

Table = dict[str, Any]
EMBEDDING, PROBABILITY, DENOISER, PIXEL = 5e-3, 1e-2, 5e-2, 2e-2
"""Largest differences that are allowed: of a number of a unit embedding; of a probability; of a denoiser's output, as a
share of its largest; of a decoded pixel, 0 to 1. The last two are those of bf16 and fp16, as generation uses them."""
COMPARED = 8
"""Pictures that the CPU computes too."""


def agreement(one: np.ndarray, other: np.ndarray, tolerance: float) -> Table:
    """Compare results of two devices."""
    difference = float(np.abs(one.astype(float) - other.astype(float)).max())
    found = {"largest_difference": float(f"{difference:.3g}"), "tolerance": tolerance}
    return {**found, "within": bool(difference <= tolerance)}  # False for NaN


def pictures(count: int, size_px: int) -> np.ndarray:
    """Random gray pictures, smooth enough that networks tell them apart."""
    coarse = torch.rand(count, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    smooth = torch.nn.functional.interpolate(coarse, (size_px, size_px), mode="bicubic").clamp(0, 1)
    return (smooth[:, 0] * 255).to(torch.uint8).numpy()


def rate(work: Callable[[], object], images: int) -> float:
    """Images a second of the second of two runs; results end on the CPU, so nothing is left to wait for."""
    work()
    started = time.perf_counter()
    work()
    return float(f"{images / (time.perf_counter() - started):.4g}")


def clip(device: torch.device, *, small: bool) -> Table:
    """ViT-L/14: pictures, prompts, and speed against the same batches by open_clip alone."""
    tiny = ClipPretrainConfig(image_size_px=32, width=4, blocks=(1, 1, 1, 1), embed_dim=16, text_width=16)
    torch.manual_seed(0)
    model: ClipModel = build_clip(tiny) if small else open_clip.create_model("ViT-L-14")
    tokenizer = build_tokenizer(tiny) if small else open_clip.get_tokenizer("ViT-L-14")
    model.eval()
    count, prompts = 16 if small else 2048, {"head": ["a scan of a head"], "belly": ["a scan of a belly", "abdomen"]}
    shown = pictures(count, image_size_px(model))
    images = image_directions(model, COMPARED, shown.__getitem__).numpy()
    texts = text_directions(model, tokenizer, prompts).numpy()
    model.to(device)
    of_images = agreement(images, image_directions(model, COMPARED, shown.__getitem__).numpy(), EMBEDDING)
    of_texts = agreement(texts, text_directions(model, tokenizer, prompts).cpu().numpy(), EMBEDDING)
    ours = rate(lambda: image_directions(model, count, shown.__getitem__), count)
    plain = rate(lambda: _plain_embeddings(model, shown, device), count)
    speed = {"fulora": ours, "plain": plain, "fulora / plain": float(f"{ours / plain:.3g}")}
    return {"images": of_images, "prompts": of_texts, "images_per_second": speed}


@torch.no_grad()
def _plain_embeddings(model: ClipModel, shown: np.ndarray, device: torch.device) -> Tensor:
    """Batches of 64 under autocast in fp16, as open_clip's documentation has it."""
    found = []
    with torch.autocast(device.type, torch.float16, enabled=device.type == "cuda"):
        for first in range(0, len(shown), 64):
            pixels = torch.from_numpy(shown[first : first + 64]).float()[:, None].expand(-1, 3, -1, -1) / 255
            found.append(model.encode_image(pixels.to(device), normalize=True).float().cpu())
    return torch.cat(found)


def classifier(device: torch.device, *, small: bool) -> Table:
    """DenseNet169 at 224 px, in full precision and, as judges are, in half."""
    full = ClassifierConfig(architecture="densenet169", stem="imagenet", image_size_px=224)
    model, count = build_classifier(ClassifierConfig(image_size_px=32) if small else full, 5), 16 if small else 2048
    shown = pictures(count, model.facts.image_size_px)
    before = predict(model, shown[:COMPARED])
    model.to(device)
    table: Table = {}
    for name, half in (("full precision", False), ("half precision", True)):
        table[name] = agreement(before, predict(model, shown[:COMPARED], half=half), PROBABILITY)
        table[name]["images_per_second"] = rate(lambda half=half: predict(model, shown, half=half), count)  # type: ignore[misc]
    return table


def unet(device: torch.device, *, small: bool) -> Table:
    """A MobileNetV2 U-Net at 256 px, and the mean over mirror images."""
    settings: Table = {"image_size_px": 32, "decoder_channels": (16, 16, 16, 8, 8)} if small else {"image_size_px": 256}
    model, count = build_unet(UnetConfig.model_validate(settings)).eval(), 16 if small else 512
    shown = pictures(count, settings["image_size_px"])

    def shares(few: np.ndarray) -> np.ndarray:
        return np.stack(list(probabilities([model], list(few), flip=True, batch_size=64)))

    before = shares(shown[:COMPARED])
    model.to(device)
    found = agreement(before, shares(shown[:COMPARED]), PROBABILITY)
    return {"masks": {**found, "images_per_second": rate(lambda: shares(shown), count)}}


@torch.no_grad()
def diffusion(pipe: Pipeline, compute: Compute, size_px: int) -> Table:
    """One step of a denoiser and one decoded picture, in the precisions that generation takes on the device."""
    side, random = size_px // pipe.vae_scale_factor, torch.Generator().manual_seed(0)
    latents = torch.randn(1, pipe.unet.config.in_channels, side, side, generator=random)
    width = pipe.unet.config.cross_attention_dim
    texts = Conditioning(torch.randn(1, pipe.tokenizer.model_max_length, width, generator=random))

    def step(unet: Any, texts: Conditioning, latents: Tensor) -> np.ndarray:
        time = torch.tensor(500, device=latents.device)
        predicted = unet(latents, time, **unet_arguments(texts, (size_px, size_px))).sample
        return np.asarray(predicted.float().cpu())

    before, pixels = step(pipe.unet, texts, latents), decode(pipe.vae, latents).numpy()
    moved = copy.deepcopy(pipe)
    move_to_device(moved, compute)
    table: Table = {"decoded": agreement(pixels, decode(moved.vae, latents.to(compute.device)).cpu().numpy(), PIXEL)}
    largest = np.abs(before).max()
    for precision in dict.fromkeys(["fp32", compute.precision]):
        unet = copy.deepcopy(pipe.unet).to(compute.device)
        cast_denoiser(unet, compute.changed(precision=precision))
        there = latents.to(compute.device, DTYPES[precision])
        after = step(unet, texts.to(torch.device(compute.device)).to(DTYPES[precision]), there)
        table[f"step, {precision}"] = agreement(before / largest, after / largest, DENOISER)
    return table
