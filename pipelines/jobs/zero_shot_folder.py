"""The folder of a zero-shot comparison: predictions, embeddings, scores, a figure and a summary, complete or absent."""

import json
import shutil
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from fulora.data.results import Predictions
from fulora.data.score import Score
from fulora.files import atomic_folder
from fulora.integrity import check
from fulora.job_folder import OutputFolderError
from fulora.json_files import read_json
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.stage import RECORD
from pipelines.jobs.prediction_tables import REDECIDED, plot_predictions, write_predictions_csv, write_scores_csv
from pipelines.jobs.tested_images import describe_joined_patients
from pipelines.jobs.zero_shot_arms import Comparison, Outcome
from pipelines.jobs.zero_shot_result import (
    COMPARISONS,
    EMBEDDINGS,
    FIGURE,
    PREDICTIONS,
    SCORE_FOLDER,
    SCORES,
    SUMMARY,
    csv_of,
)


def is_finished(out: Path, fingerprints: Mapping[str, str]) -> bool:
    """Return whether the folder holds the result of the artifacts with these fingerprints.

    Raises:
        OutputFolderError: if it holds other files, or the result of other images, CLIPs, prompts or settings.
        DamagedArtifactError: if it holds this result, and predictions, embeddings or scores have changed.
    """
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return False
    if not (out / SUMMARY).is_file():
        raise OutputFolderError(f"{out}: holds files of something else; name a new folder for the predictions")
    made_from = read_json(out / SUMMARY, dict[str, Any]).get("made_from", {})
    if made_from != fingerprints:
        changed = [name for name in {**made_from, **fingerprints} if made_from.get(name) != fingerprints.get(name)]
        raise OutputFolderError(
            f"{out}: holds the predictions of other images, CLIPs, prompts or settings (other are: "
            f"{'; '.join(changed)}); name a new folder, or remove this one"
        )
    for record in out.rglob(RECORD):
        check(record.parent)
    return True


def write_zero_shot(out: Path, compared: Comparison, made: Outcome) -> None:
    """Write the folder: tables for readers beside copies of the artifacts, which `fulora show` describes.

    Raises:
        OSError: if the folder exists by then.
    """
    out.parent.mkdir(parents=True, exist_ok=True)
    if out.is_dir():
        out.rmdir()  # it is empty
    scores = [] if made.scores is None else made.scores.rows()
    with atomic_folder(out) as new:
        for name, embeddings in made.embeddings.items():
            shutil.copytree(embeddings.path, new / EMBEDDINGS / name)
        for name, predictions in made.predictions.items():
            shutil.copytree(predictions.path, new / PREDICTIONS / name)
            write_predictions_csv(csv_of(new, name), predictions, labelled=compared.tested.labelled)
            if scores:
                (new / PREDICTIONS / f"{name}.png").write_bytes(plot_predictions(predictions, name))
        if made.scores is not None:
            shutil.copytree(made.scores.path, new / SCORE_FOLDER)
            write_scores_csv(new / SCORES, [score for score in scores if not score.baseline])
            (new / FIGURE).write_bytes(_plot_accuracies(scores))
        if compared_scores := [score for score in scores if score.baseline]:
            write_scores_csv(new / COMPARISONS, compared_scores)
        text = json.dumps(summarise(compared, made), indent=1, ensure_ascii=False)
        (new / SUMMARY).write_text(text + "\n", encoding="utf-8")


def summarise(compared: Comparison, made: Outcome) -> dict[str, Any]:
    """Return the content of `summary.json`: what was predicted by what, and what the artifacts were made from."""
    shown = next(iter(made.predictions.values())).rows()
    tested = compared.tested
    return {
        "of": tested.source.path.name,
        "split": tested.split,
        "labelled": tested.labelled,
        "images": len(shown),
        "patients": compared.n_patients(),
        "sites": dict(Counter(row.site for row in shown)),
        "classes": list(compared.labels.names),
        "images_by_class": dict(Counter(row.plane for row in shown)) if tested.labelled else {},
        "left_out": list(compared.leave_out),
        "clips": {clip.name: clip.origin for clip in compared.clips},
        "prompts": compared.prompt_texts(),
        "predictions": {name: _about(one) for name, one in made.predictions.items()},
        "notes": [*compared.notes(), *made.notes, *describe_joined_patients(compared.rows(), shown)],
        "made_from": made.fingerprints(),
    }


def _about(predictions: Predictions) -> dict[str, str]:
    facts = predictions.facts()
    return {"protocol": facts.protocol, "about": facts.about}


def _plot_accuracies(scores: list[Score]) -> bytes:
    from fulora.report.figures import plot_intervals

    shown = [score for score in scores if score.quantity == "accuracy" and score.group == ALL_IMAGES]
    shown = [score for score in shown if not score.baseline and score.rule not in REDECIDED]
    return plot_intervals(
        [score.arm for score in shown],
        [score.value for score in shown],
        [score.low for score in shown],
        [score.high for score in shown],
        title=f"Accuracy on {shown[0].n_images} images of {shown[0].n_patients} patients",
        quantity="accuracy; line: 95 % interval",
    )
