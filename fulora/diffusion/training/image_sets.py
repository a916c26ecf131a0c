"""Read the images of a LoRA training from image sets, record its provenance, and train."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from diffusers import AutoencoderKL
from jaxtyping import UInt8

from fulora import progress
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.leak_check import patient_names, refuse_leaks, refuse_same_numbers
from fulora.data.model_provenance import build_model_provenance
from fulora.data.patient_numbers import different_patients
from fulora.data.pictures.image_and_mask import split_pair
from fulora.data.provenance import Provenance
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import describe_clip_skip
from fulora.diffusion.models.distinct_captions import describe_identical_captions
from fulora.diffusion.models.noise_schedules import describe_schedule
from fulora.diffusion.sampling.sample import decode, to_pixels
from fulora.diffusion.training.examples import HeldOutSet, TrainingImages, load_examples
from fulora.diffusion.training.objective import encode
from fulora.diffusion.training.plan import check_plan
from fulora.diffusion.training.train import fit
from fulora.training.processes import join_processes

CHECKED_PAIRS = 4
"""Number of pairs whose masks are encoded and decoded before a training."""


def read_training_images(
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
    *,
    mask_channel: bool = False,
) -> TrainingImages:
    """Return the training and validation splits of `images` and the training split of `prior`.

    Args:
        tested_on: another set, whose validation and test splits must not be trained on.
        mask_channel: return pairs of image and mask.

    Raises:
        LoraError: if there are no training images, only some have a caption, or `prior` or `tested_on` lacks the split
            it is used for.
        SameNumberError: if a patient of `tested_on` may be in the training images under another name.
    """
    rows, held_out = images.rows("train"), images.rows("validation")
    if not rows:
        raise LoraError(f"{images.path}: it has no training images; curate it with role=train or train+validation")
    splits = {"the validation split": held_out, "the test split": images.rows("test")}
    if tested_on is not None:
        splits["the set it is tested on"] = [*tested_on.rows("validation"), *tested_on.rows("test")]
        if not splits["the set it is tested on"]:
            raise LoraError(f"{tested_on.path}: it has neither validation nor test images that could be kept apart")
        _refuse_same_numbers(images, tested_on, rows, splits["the set it is tested on"])
    if prior is not None and not prior.rows("train"):
        raise LoraError(f"{prior.path}: it has no training images that could be prior images")
    return TrainingImages(
        images=load_examples(images, rows, mask_channel=mask_channel),
        planes=[row.plane for row in rows],
        labels=images.label_set(),
        patients=_patients(rows),
        validation=load_examples(images, held_out, mask_channel=mask_channel) if held_out else None,
        prior=load_examples(prior, prior.rows("train")) if prior else None,
        excluded=[
            HeldOutSet(name, _patients(split), {row.sha256 for row in split}) for name, split in splits.items() if split
        ],
    )


def lora_provenance(
    name: str, backbone: Provenance, images: ImageSet, prior: ImageSet | None = None, tested_on: ImageSet | None = None
) -> Provenance:
    """Return the provenance of a LoRA: its training and prior images, and the backbone it starts from.

    Raises:
        OverlapError, SameNumberError: if the backbone, or the generator of the prior images, was fitted to patients in
            the validation or test split of `tested_on`, or selected on patients in its test split.
    """
    inherited = [backbone, *([prior.provenance()] if prior else [])]
    if tested_on is not None:
        distinct_patients = different_patients(tested_on.path)
        refuse_leaks(inherited, tested_on.rows("validation"), uses=("fitted",), distinct_patients=distinct_patients)
        refuse_leaks(inherited, tested_on.rows("test"), distinct_patients=distinct_patients)
    rows = [*images.rows("train"), *(prior.rows("train") if prior else [])]
    return build_model_provenance(name, images, rows, images.rows("validation"), parents=inherited)


def _refuse_same_numbers(
    images: ImageSet, tested_on: ImageSet, rows: Sequence[Image], held_out: Sequence[Image]
) -> None:
    if not (different_patients(images.path) or different_patients(tested_on.path)):
        refuse_same_numbers("the training images", patient_names(rows), patient_names(held_out))


def _patients(rows: Sequence[Image]) -> frozenset[str]:
    return frozenset(row.patient_key for row in rows if row.patient_key)


def reconstructed_mask_dice(vae: AutoencoderKL, pairs: Sequence[UInt8[np.ndarray, "h w 3"]]) -> float:
    """Return the mean Dice (0 to 1) between the masks of pairs and the same masks after encoding and decoding.

    An autoencoder that was not pretrained on coloured pairs (`mask_channel`) may lose the masks.
    """
    scores = []
    for pair in pairs:
        with progress.silent():
            latents = encode(vae, [pair])
        again = decode(vae, latents.mean[0][None])
        before, after = (split_pair(x)[1] > 0 for x in (pair, to_pixels(again, gray=False)[0][0].cpu().numpy()))
        scores.append(2 * (before & after).sum() / max(1, before.sum() + after.sum()))
    return float(np.mean(scores))


def fit_lora(
    out: Path,
    cfg: LoraConfig,
    pipe: Pipeline,
    material: TrainingImages,
    *,
    base_model: str,
    base_digest: str,
    provenance: Provenance,
) -> int:
    """Check the images, write the LoRA's classes and provenance, and train.

    Returns:
        The training step of the weights that are kept.

    Raises:
        LoraError, BackboneError: if the training cannot work; see `check_plan`.
    """
    check_plan(cfg, pipe, material)
    first = join_processes(cfg.device).first
    if first and (special := describe_schedule(pipe.scheduler.config)):
        progress.note(f"trained as the backbone says: {special}")
    if first and (skipped := describe_clip_skip(pipe, cfg.clip_skip)):
        progress.note(skipped)
    for line in describe_identical_captions(pipe, material.captions()) if first else ():
        progress.note(line)
    if first and cfg.mask_channel:
        dice = reconstructed_mask_dice(pipe.vae, material.images.pictures[:CHECKED_PAIRS])
        progress.note(
            f"the autoencoder reconstructs the masks of pairs with a Dice of {dice:.2f}; generated masks are no better"
        )
    facts = TrainingFacts(base_model=base_model, base_digest=base_digest, patients=len(material.patients))
    if first:
        out.mkdir(parents=True, exist_ok=True)
        provenance.write(out)
        if material.labels is not None:
            material.labels.write(out)
    return fit(out, cfg, pipe, material.images, validation=material.validation, prior=material.prior, facts=facts)
