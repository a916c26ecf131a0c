"""What a LoRA is trained on, read from image sets: who trains, who validates, who must not be seen."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from fulora.data.labels import Plane
from fulora.data.manifest import Image, ImageSet
from fulora.diffusion.architectures import Pipeline
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.examples import Examples, Facts, load_examples
from fulora.diffusion.lora import LoraError
from fulora.diffusion.plan import Excluded, Plan, check, plan
from fulora.diffusion.train import fit
from fulora.processes import processes

PATIENTS = "train_patients.json"


@dataclass(frozen=True)
class Material:
    """Examples from image sets.

    Attributes:
        images: of the training split, and their `planes` and `patients`.
        validation: of the validation split, where there is one.
        prior: images that must not be unlearned.
        excluded: whom and what nothing may be trained on.
    """

    images: Examples
    planes: Sequence[Plane]
    patients: frozenset[str]
    validation: Examples | None
    prior: Examples | None
    excluded: Sequence[Excluded]


def read_material(images: ImageSet, prior: ImageSet | None = None, tested_on: ImageSet | None = None) -> Material:
    """The training split of `images`, its validation split, and the training split of `prior`.

    Args:
        tested_on: another set, of whose validation and test splits nothing may be trained on.

    Raises:
        LoraError: no training images, some without a caption, or another set without what it is given for.
    """
    rows, held_out = images.rows("train"), images.rows("validation")
    if not rows:
        raise LoraError(f"{images.path}: it has no training images; curate it with role=train or train+validation")
    splits = {"the validation split": held_out, "the test split": images.rows("test")}
    if tested_on is not None:
        splits["the set it is tested on"] = [*tested_on.rows("validation"), *tested_on.rows("test")]
        if not splits["the set it is tested on"]:
            raise LoraError(f"{tested_on.path}: it has neither validation nor test images that could be kept apart")
    if prior is not None and not prior.rows("train"):
        raise LoraError(f"{prior.path}: it has no training images that could be prior images")
    return Material(
        images=load_examples(images, rows),
        planes=[row.plane for row in rows],
        patients=_patients(rows),
        validation=load_examples(images, held_out) if held_out else None,
        prior=load_examples(prior, prior.rows("train")) if prior else None,
        excluded=[
            Excluded(name, _patients(found), {row.sha256 for row in found}) for name, found in splits.items() if found
        ],
    )


def _patients(rows: Sequence[Image]) -> frozenset[str]:
    return frozenset(row.patient_key for row in rows if row.patient_key)


def plan_material(cfg: LoraConfig, pipe: Pipeline, material: Material) -> Plan:
    """What training on it will do, take and leave behind; nothing is trained.

    Raises:
        LoraError, BackboneError: what cannot work.
    """
    return plan(
        cfg,
        pipe,
        material.images,
        validation=material.validation,
        prior=material.prior,
        planes=material.planes,
        patients=material.patients,
        excluded=material.excluded,
    )


def fit_material(
    out: Path, cfg: LoraConfig, pipe: Pipeline, material: Material, *, base_model: str, base_digest: str
) -> None:
    """Check, train, and write `train_patients.json` beside the LoRA: whom its images may not be tested on.

    Raises:
        LoraError, BackboneError: what cannot work.
    """
    given = material.images, material.validation, material.prior
    check(
        cfg, pipe, given[0], validation=given[1], prior=given[2],
        patients=material.patients, excluded=material.excluded,
    )  # fmt: skip
    facts = Facts(base_model=base_model, base_digest=base_digest, patients=len(material.patients))
    fit(out, cfg, pipe, given[0], validation=given[1], prior=given[2], facts=facts)
    if processes(cfg.device).first:
        (out / PATIENTS).write_text(json.dumps(sorted(material.patients), indent=1), encoding="utf-8")
