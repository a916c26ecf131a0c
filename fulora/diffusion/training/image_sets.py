"""What a LoRA is trained on, read from image sets: who trains, who validates, who must not be seen."""

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
from fulora.diffusion.lora.adapters import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import said_of_skip
from fulora.diffusion.models.distinct_captions import said_of_alike
from fulora.diffusion.models.noise_schedules import said
from fulora.diffusion.sampling.sample import decode, to_pixels
from fulora.diffusion.training.examples import Excluded, Material, load_examples
from fulora.diffusion.training.objective import encode
from fulora.diffusion.training.plan import check
from fulora.diffusion.training.train import fit
from fulora.training.processes import processes

LOOKED_AT = 4
"""Pairs whose masks are sent through the autoencoder before a training."""


def read_material(
    images: ImageSet,
    prior: ImageSet | None = None,
    tested_on: ImageSet | None = None,
    *,
    mask_channel: bool = False,
) -> Material:
    """The training split of `images`, its validation split, and the training split of `prior`.

    Args:
        tested_on: another set, of whose validation and test splits nothing may be trained on.
        mask_channel: images as pairs with their masks.

    Raises:
        LoraError: no training images, some without a caption, or another set without what it is given for.
        SameNumberError: a patient of `tested_on` may be trained on under another name.
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
    return Material(
        images=load_examples(images, rows, mask_channel=mask_channel),
        planes=[row.plane for row in rows],
        labels=images.label_set(),
        patients=_patients(rows),
        validation=load_examples(images, held_out, mask_channel=mask_channel) if held_out else None,
        prior=load_examples(prior, prior.rows("train")) if prior else None,
        excluded=[
            Excluded(name, _patients(found), {row.sha256 for row in found}) for name, found in splits.items() if found
        ],
    )


def lora_provenance(
    name: str, backbone: Provenance, images: ImageSet, prior: ImageSet | None = None, tested_on: ImageSet | None = None
) -> Provenance:
    """Whom a LoRA of this name learns from: of images and prior, and what the backbone knows.

    Raises:
        OverlapError, SameNumberError: the backbone, or what drew the prior images, was fitted to somebody in the
            validation or test split of `tested_on`, or chosen by somebody in its test split.
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


def masks_kept(vae: AutoencoderKL, pairs: Sequence[UInt8[np.ndarray, "h w 3"]]) -> float:
    """The mean Dice, 0 to 1, of the masks of pairs and what is left of them after encoding and decoding.

    An autoencoder that never saw colours, unlike one pretrained with `mask_channel`, may lose them.
    """
    found = []
    for pair in pairs:
        again = decode(vae, encode(vae, [pair]).mean[0][None])
        before, after = (split_pair(x)[1] > 0 for x in (pair, to_pixels(again, gray=False)[0][0].cpu().numpy()))
        found.append(2 * (before & after).sum() / max(1, before.sum() + after.sum()))
    return float(np.mean(found))


def fit_material(
    out: Path,
    cfg: LoraConfig,
    pipe: Pipeline,
    material: Material,
    *,
    base_model: str,
    base_digest: str,
    provenance: Provenance,
) -> int:
    """Check, write the LoRA's classes and the book of whom it learns from, and train.

    Its images may not be tested on those whom it learned from.

    Returns:
        After which step the weights are that are kept.

    Raises:
        LoraError, BackboneError: what cannot work.
    """
    check(cfg, pipe, material)
    first = processes(cfg.device).first
    if first and (special := said(pipe.scheduler.config)):
        progress.note(f"trained as the backbone says: {special}")
    if first and (skipped := said_of_skip(pipe, cfg.clip_skip)):
        progress.note(skipped)
    for line in said_of_alike(pipe, material.captions()) if first else ():
        progress.note(line)
    if first and cfg.mask_channel:
        dice = masks_kept(pipe.vae, material.images.pictures[:LOOKED_AT])
        progress.note(
            f"the autoencoder gives the masks of pairs back with a Dice of {dice:.2f}; drawn ones are no better"
        )
    facts = TrainingFacts(base_model=base_model, base_digest=base_digest, patients=len(material.patients))
    if first:
        out.mkdir(parents=True, exist_ok=True)
        provenance.write(out)
        if material.labels is not None:
            material.labels.write(out)
    return fit(out, cfg, pipe, material.images, validation=material.validation, prior=material.prior, facts=facts)
