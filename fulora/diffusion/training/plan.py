"""Checks before a LoRA training, and its plan: images, parameters, memory and disk space."""

import math
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fulora.data.pictures.image_and_mask import split_pair as part_of_pair
from fulora.data.pictures.pixels import is_blank, pixel_digest
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import all_lora_parameters, lora_parameters
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import text_encoders, token_ids
from fulora.diffusion.training.batches import training_sizes
from fulora.diffusion.training.buckets import Size
from fulora.diffusion.training.examples import Examples, HeldOutSet, TrainingImages
from fulora.diffusion.training.memory import Memory, optimizer_bytes, outline, predict_memory
from fulora.diffusion.training.optimizers import build_optimizer
from fulora.diffusion.training.train import check_training
from fulora.environment import peak_resident
from fulora.training.checkpoints import KEPT
from fulora.training.processes import join_processes

SHOWN = 3
"""Number of patients or pictures that a message names; the others are counted."""


@dataclass(frozen=True)
class TrainingPlan:
    """The images, parameters, memory and disk space of a training.

    Attributes:
        images: number of images of each plane (or caption) and each training size (width, height).
        validation, prior: number of images for the validation loss and the prior loss.
        parameters: number of trained parameters of each network.
        disk: bytes of each kind of file.
        checked: the checks that passed, one line each.
    """

    cfg: LoraConfig
    images: Mapping[str, Counter[Size]]
    validation: int
    prior: int
    parameters: Mapping[str, int]
    memory: Memory
    disk: Mapping[str, int]
    checked: Sequence[str] = field(default_factory=list)

    @property
    def epochs(self) -> float:
        """The number of times that each image is used."""
        return self.cfg.steps * self.cfg.batch_size / sum(sizes.total() for sizes in self.images.values())

    def lines(self) -> list[str]:
        """Return the plan as lines of text."""
        return [*self._image_lines(), *self._training_lines(), *self._cost_lines()]

    def _image_lines(self) -> list[str]:
        total = sum(self.images.values(), Counter[Size]())
        sizes = sorted(total, key=lambda size: (-total[size], size))
        counts = {**self.images, "all": total}
        width = max(len("images"), *map(len, counts))
        rows = [("images", [f"{w}x{h}" for w, h in sizes] + ["all"])]
        rows += [(name, [str(n[size]) for size in sizes] + [str(n.total())]) for name, n in counts.items()]
        table = [name.ljust(width) + "".join(cell.rjust(11) for cell in cells) for name, cells in rows]
        mirrored = f"{total.total()} mirror images are encoded too" if self.cfg.flip else "none is mirrored"
        return [*table, f"{mirrored}; {self.validation} images for the validation loss, {self.prior} prior images"]

    def _training_lines(self) -> list[str]:
        cfg, trained = self.cfg, sum(self.parameters.values())
        parts = ", ".join(f"{name} {count:,}" for name, count in self.parameters.items())
        return [
            f"{cfg.steps:,} steps of {cfg.batch_size} images: {self.epochs:.4g} epochs, the times each image is seen",
            f"{trained:,} parameters are trained ({parts})",
            f"{cfg.optimizer} with fp32 weights, the base in {cfg.precision}",
        ]

    def _cost_lines(self) -> list[str]:
        used = self.memory
        parts = ", ".join(f"{name} {_size(count)}" for name, count in self.disk.items())
        return [
            f"memory: about {_size(used.gpu)} on a GPU, or {_size(used.cpu)} on the CPU",
            f"disk: {_size(sum(self.disk.values()))} ({parts})",
            *(f"checked: {line}" for line in self.checked),
        ]


def _size(count: int) -> str:
    return f"{count / 1e9:.1f} GB" if count >= 1e9 else f"{count / 1e6:.1f} MB"


def plan_training(cfg: LoraConfig, pipe: Pipeline, material: TrainingImages) -> TrainingPlan:
    """Check a training and return its plan. Images without planes are counted by caption.

    Args:
        pipe: the backbone in fp32, without LoRA; it is not changed.

    Raises:
        LoraError, BackboneError: as `check_plan`, and if the library of the optimizer is missing.
    """
    checked = check_plan(cfg, pipe, material)
    examples, validation, prior = material.images, material.validation, material.prior
    outlined = outline(pipe, cfg)
    if cfg.optimizer != "adamw":
        build_optimizer(outlined, cfg)
    sizes = training_sizes(examples, cfg)
    images: dict[str, Counter[Size]] = defaultdict(Counter)
    for name, size in zip(material.planes or examples.captions, sizes, strict=True):
        images[name][size] += 1
    all_sizes = Counter(sizes)
    if prior:
        all_sizes.update(training_sizes(prior, cfg))
    captions = [caption for part in (examples, validation, prior) if part for caption in part.captions]
    memory = predict_memory(pipe, cfg, all_sizes, captions, prior=prior is not None)
    return TrainingPlan(
        cfg=cfg,
        images=dict(sorted(images.items())),
        validation=len(validation.pictures) if validation else 0,
        prior=len(prior.pictures) if prior else 0,
        parameters=_parameters(outlined),
        memory=replace(memory, cpu=max(memory.cpu, peak_resident())),  # loading the backbone can take more
        disk=_disk(outlined, cfg, Counter(sizes), len(set(examples.captions))),
        checked=checked,
    )


def _parameters(outlined: Pipeline) -> dict[str, int]:
    networks = {"UNet": outlined.unet, **{name.replace("_", " "): e for name, e in text_encoders(outlined).items()}}
    counts = {name: sum(p.numel() for p in lora_parameters(module)) for name, module in networks.items()}
    return {name: count for name, count in counts.items() if count}


def _disk(outlined: Pipeline, cfg: LoraConfig, sizes: Mapping[Size, int], captions: int) -> dict[str, int]:
    parameters = all_lora_parameters(outlined)
    lora = 4 * sum(parameter.numel() for parameter in parameters)
    copies = 1 + (cfg.ema_decay is not None) + (cfg.keep == "best")
    sizes_on_disk = {"the LoRA": lora}
    if cfg.steps >= cfg.checkpoint_every:
        kept = min(KEPT, cfg.steps // cfg.checkpoint_every)
        sizes_on_disk[f"{kept} checkpoints while it trains"] = kept * (copies * lora + optimizer_bytes(parameters, cfg))
    if cfg.samples:
        grids = 1 + math.ceil(cfg.steps / cfg.samples.every)
        width, height = max(sizes, key=sizes.__getitem__)
        sizes_on_disk[f"{grids} sample grids at most"] = grids * captions * cfg.samples.per_caption * width * height
    return sizes_on_disk


def check_plan(cfg: LoraConfig, pipe: Pipeline, material: TrainingImages) -> list[str]:
    """Check a training; return the checks that passed, one line each. Arguments are those of `plan_training`.

    Raises:
        LoraError: no images; images and captions that differ in number; an empty caption; a blank picture; a patient or
            a picture of an excluded set; pictures of several sizes where one is expected, or too small for a bucket;
            sides that the autoencoder and the UNet cannot halve; `clip_skip` beyond the text encoder; and what
            `check_training` refuses.
        BackboneError: a caption longer than the text encoder reads.
        ValueError: a device that is not available.
    """
    examples, validation = material.images, material.validation
    for name, part in {"training": examples, "validation": validation, "prior": material.prior}.items():
        if part is not None:
            _check_captions(name, part)
            _check_blank(cfg, name, part)
            _check_tokens(pipe, part.captions)
            _check_sides(cfg, pipe, part)
    _check_clip_skip(cfg, pipe)
    check_training(pipe, cfg, examples, join_processes(cfg.device), validated=validation is not None)
    digests = [pixel_digest(_image(cfg, pair)) for pair in examples.pictures] if material.excluded else []
    for others in material.excluded:
        _check_patients(material.patients, others)
        _check_pictures(digests, others)
    return [
        f"{len(examples.pictures)} images, each with a caption that the text encoder reads in full, none blank",
        "sides that the autoencoder and the UNet can halve",
        *(
            f"{len(material.patients)} patients and all pictures: none is in {others.name}"
            for others in material.excluded
        ),
    ]


def _check_captions(name: str, part: Examples) -> None:
    pictures, captions = len(part.pictures), len(part.captions)
    if not pictures and not captions:
        raise LoraError(f"there are no {name} images: check the set's splits and planes")
    if pictures > captions:
        raise LoraError(f"{pictures - captions} of {pictures} {name} images have no caption: give each image one")
    if captions > pictures:
        raise LoraError(f"{captions - pictures} of {captions} {name} captions have no image: remove them")
    empty = [place for place, caption in enumerate(part.captions) if not caption.strip()]
    if empty:
        raise LoraError(
            f"{len(empty)} of {captions} {name} captions are empty, the first of image {empty[0]}: write them; "
            "caption_dropout leaves captions empty at random"
        )


def _image(cfg: LoraConfig, picture: UInt8[np.ndarray, "h w ..."]) -> UInt8[np.ndarray, "h w"]:
    """The picture, or the image of a pair, as held-out sets store it."""
    return part_of_pair(picture)[0] if cfg.mask_channel and picture.ndim == 3 else picture


def _check_blank(cfg: LoraConfig, name: str, part: Examples) -> None:
    blank = [place for place, picture in enumerate(part.pictures) if is_blank(_image(cfg, picture))]
    if blank:
        raise LoraError(f"{len(blank)} {name} pictures are blank, {_named(blank)}: remove them")


def _check_tokens(pipe: Pipeline, captions: Sequence[str]) -> None:
    for tokenizer in (pipe.tokenizer, getattr(pipe, "tokenizer_2", None)):
        if tokenizer is not None:
            token_ids(tokenizer, sorted(set(captions)))


def _check_sides(cfg: LoraConfig, pipe: Pipeline, part: Examples) -> None:
    halved = pipe.vae_scale_factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    wrong = sorted(size for size in training_sizes(part, cfg) if any(side % halved for side in size))
    if not wrong:
        return
    width, height = wrong[0]
    near = [f"{w}x{h}" for w in _multiples(width, halved) for h in _multiples(height, halved)]
    way = f"set bucket_step_px={halved}" if cfg.sizes == "buckets" else "curate the images to one, or use sizes=buckets"
    raise LoraError(
        f"{width}x{height} pixels cannot be trained on: sides must be multiples of {halved}, which the autoencoder and "
        f"the UNet halve again and again; the nearest sizes are {', '.join(near)}: {way}"
    )


def _multiples(side: int, of: int) -> list[int]:
    return sorted({multiple for multiple in (side // of * of, -(-side // of) * of) if multiple})


def _check_clip_skip(cfg: LoraConfig, pipe: Pipeline) -> None:
    """SDXL skips one more layer."""
    encoders: list[Any] = list(text_encoders(pipe).values())
    deepest = min(encoder.config.num_hidden_layers for encoder in encoders) - (len(encoders) > 1)
    if cfg.clip_skip > deepest:
        raise LoraError(f"clip_skip={cfg.clip_skip}: the text encoder has layers for 1 to {deepest}")


def _check_patients(patients: AbstractSet[str], others: HeldOutSet) -> None:
    shared = sorted(patients & others.patients)
    if shared:
        raise LoraError(
            f"{len(shared)} patients are among the training images and in {others.name}, {_named(shared)}: what is "
            "measured on it would not be of unseen patients; remove them from one of the two"
        )


def _check_pictures(digests: Sequence[str], others: HeldOutSet) -> None:
    shared = [place for place, digest in enumerate(digests) if digest in others.digests]
    if shared:
        raise LoraError(
            f"{len(shared)} training pictures are in {others.name} too, pixel for pixel, {_named(shared)}: take them "
            "out of one of the two"
        )


def _named(items: Sequence[object]) -> str:
    more = f" and {len(items) - SHOWN} more" if len(items) > SHOWN else ""
    return ", ".join(map(str, items[:SHOWN])) + more
