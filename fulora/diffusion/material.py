"""What a LoRA is trained on, read from image sets: who trains, who validates, who must not be seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.data.labels import Plane
from fulora.data.manifest import ImageSet
from fulora.diffusion.architectures import Pipeline
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.examples import Examples, Facts, load_examples
from fulora.diffusion.lora import LoraError
from fulora.diffusion.train import fit

PATIENTS = "train_patients.json"


@dataclass(frozen=True)
class Material:
    """Examples from image sets.

    Attributes:
        images: of the training split, and their `planes` and `patients`.
        validation: of the validation split, where there is one.
        prior: images that must not be unlearned.
    """

    images: Examples
    planes: Sequence[Plane]
    patients: Sequence[str]
    validation: Examples | None
    prior: Examples | None


def read_material(images: ImageSet, prior: ImageSet | None = None, tested_on: ImageSet | None = None) -> Material:
    """The training split of `images`, its validation split, and the training split of `prior`.

    Raises:
        LoraError: no training images, some without caption, or a patient or picture of the validation or test split of
            `tested_on` among them.
    """
    rows = images.rows("train")
    if not rows:
        raise LoraError(f"{images.path}: it has no training images")
    if tested_on is not None:
        _check_unseen(images, tested_on)
    held_out = images.rows("validation")
    return Material(
        images=load_examples(images, rows),
        planes=[row.plane for row in rows],
        patients=sorted({row.patient_key for row in rows if row.patient_key}),
        validation=load_examples(images, held_out) if held_out else None,
        prior=load_examples(prior, prior.rows("train")) if prior else None,
    )


def _check_unseen(images: ImageSet, tested_on: ImageSet) -> None:
    seen = images.rows("train")
    held_out = [*tested_on.rows("validation"), *tested_on.rows("test")]
    people = {row.patient_key for row in held_out} & {row.patient_key for row in seen if row.patient_key}
    if people:
        raise LoraError(
            f"{len(people)} patients of the validation or test images are among the training images, such as "
            f"{min(people)}: what is generated would show the people it is tested on; leave them out of one"
        )
    pixels = {row.sha256: row.image_id for row in held_out}
    same = [(row.image_id, pixels[row.sha256]) for row in seen if row.sha256 in pixels]
    if same:
        raise LoraError(
            f"{len(same)} training images are also validation or test images, pixel by pixel, such as {same[0][0]} and "
            f"{same[0][1]}: leave them out of one"
        )


def fit_material(
    out: Path, cfg: LoraConfig, pipe: Pipeline, material: Material, *, base_model: str, base_digest: str
) -> None:
    """Train, and write `train_patients.json` beside the LoRA: whom its images may not be tested on."""
    facts = Facts(base_model=base_model, base_digest=base_digest, patients=len(material.patients))
    fit(out, cfg, pipe, material.images, validation=material.validation, prior=material.prior, facts=facts)
    (out / PATIENTS).write_text(json.dumps(list(material.patients), indent=1), encoding="utf-8")
