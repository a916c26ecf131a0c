"""Judges: classifiers trained on real images only, each without one fold of the patients (cross-fitting)."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped

from fulora.assessment.label_truth import ClassScores
from fulora.assessment.loaded_pictures import Pictures, PicturesError
from fulora.classification.config import ClassifierConfig
from fulora.classification.model import Classifier, load_classifier
from fulora.classification.predict import predict
from fulora.classification.train import fit
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, read_label_set, refuse_other_classes
from fulora.data.pictures.loaders import class_indices, load_squares
from fulora.data.pictures.resize import to_square
from fulora.data.splits import Member, folds
from fulora.engine import threaded
from fulora.json_files import read_json
from fulora.training.devices import pick_device

FOLDS = "folds.json"


def train_judges(out: Path, count: int, cfg: ClassifierConfig, images: ImageSet, start: Path | None) -> None:
    """Train the judges on the real training and validation images.

    `folds.json` holds the fold of every patient, `label_set.json` the classes. The weights of the last step are kept,
    because no patients are left to select a checkpoint on.
    """
    rows, labels = judged_images(images), images.label_set()
    of_image = folds([Member(row.image_id, row.patient_key, pixels=row.sha256) for row in rows], count)
    no_validation = np.zeros((0, cfg.image_size_px, cfg.image_size_px), np.uint8), np.zeros(0, np.int64)
    for fold in range(count):
        own = out / str(fold)
        if (own / "model.safetensors").is_file():
            continue
        shown = [row for row in rows if of_image[row.image_id] != fold]
        squares = load_squares(images, shown, cfg.image_size_px, cfg.fit)
        seeded = cfg.changed(seed=cfg.seed + fold)
        classes, synthetic = class_indices(shown, labels), np.zeros(len(shown), bool)
        fit(own, seeded, labels, squares, classes, synthetic, no_validation, start=start)
    of_patient = {row.patient_key: of_image[row.image_id] for row in rows}
    labels.write(out)
    (out / FOLDS).write_text(json.dumps(of_patient, indent=0), encoding="utf-8")


def judged_images(images: ImageSet) -> list[Image]:
    """Return the real images that judges are trained on."""
    return [row for split in ("train", "validation") for row in images.rows(split) if row.origin == "real"]


def check_judges(folder: Path, labels: LabelSet | None) -> None:
    """Refuse judges of other classes.

    Args:
        labels: the classes of the pictures; None if unknown.

    Raises:
        LabelSetError: if the judges have other classes.
        PicturesError: if the folder holds no judges, or the pictures' classes are unknown.
    """
    _folds(folder)
    known = read_label_set(folder)
    if labels is None:
        raise PicturesError(
            f"{folder}: its judges know {', '.join(known.names)}, and the classes of the pictures are not known: name "
            "their folders so, and give the label set"
        )
    refuse_other_classes(labels, known, name="the pictures", other_name=f"the judges {folder}")


def judged(folder: Path, pictures: Pictures) -> Bool[np.ndarray, " n"]:
    """Return which real pictures are of a patient in one of the folds."""
    return np.isin(pictures.patients, list(_folds(folder)))


def judge(
    folder: Path,
    made: Pictures,
    nearest_patient: Shaped[np.ndarray, " n"],
    real: Pictures,
    planes: Int[np.ndarray, " m"],
    device: str = "auto",
) -> ClassScores:
    """Return the class scores of every picture by the judge that was not trained on its patient.

    Args:
        nearest_patient: the real patient nearest to each synthetic picture.
        real, planes: `judged` real pictures, and the index of their class.
        device: of the judges (`pick_device`); on a CUDA GPU they run in half precision.

    Raises:
        DeviceError: if there is no such device.
    """
    fold_of, at = _folds(folder), pick_device(device)
    models = [load_classifier(folder / str(fold)).to(at) for fold in range(len(set(fold_of.values())))]
    return ClassScores(
        "judge",
        _out_of_fold(models, made, np.array([fold_of.get(patient, -1) for patient in nearest_patient.tolist()])),
        _out_of_fold(models, real, np.array([fold_of[patient] for patient in real.patients.tolist()])),
        planes,
    )


def _folds(folder: Path) -> dict[str, int]:
    if not (folder / FOLDS).is_file():
        raise PicturesError(f"{folder}: holds no {FOLDS}; judges are the folder that the stage train_judges wrote")
    return read_json(folder / FOLDS, dict[str, int])


def _out_of_fold(
    models: Sequence[Classifier], pictures: Pictures, fold: Int[np.ndarray, " n"]
) -> Float[np.ndarray, "n classes"]:
    """Probabilities by the judge without the picture's fold; the mean of all judges for fold -1."""
    facts = models[0].facts
    squares = np.stack(list(threaded(lambda one: to_square(one, facts.image_size_px, facts.fit), pictures.pixels)))
    probabilities = np.zeros((len(pictures), facts.classes))
    for number, model in enumerate(models):
        for chosen, share in ((fold == number, 1.0), (fold == -1, 1 / len(models))):
            if chosen.any():
                probabilities[chosen] += share * predict(model, squares[chosen], half=True)
    return probabilities
