"""`fulora score`: scores with intervals for anybody's predictions."""

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.score_segmentation import segmentation

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Float

    from fulora.data.predictions.classes import RequestedClasses
    from fulora.data.predictions.files import PredictionFile
    from fulora.metrics.answers import Prior
    from fulora.metrics.classification_metrics import MetricSelection
    from fulora.metrics.scorecard import Sampling, ScoreRow

COMPARED = "accuracy,macro F1,macro one-vs-rest AUC,log loss"
app = typer.Typer(no_args_is_help=True, add_completion=False, help="Scores with intervals for anybody's predictions.")


@app.callback()
def group() -> None:
    """Scores with intervals for anybody's predictions."""


app.command()(segmentation)


@app.command()
def classification(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, or a folder of predictions that fulora made.")],
    labels: Annotated[
        str,
        typer.Option(
            help="Label set of the file: a shipped one's name, or a YAML file. Or the classes that are averaged, with "
            "commas; without it, those that images show."
        ),
    ] = "",
    against: Annotated[
        Path | None, typer.Option(help="Another file on the same images: FILE minus this one, paired.")
    ] = None,
    prior: Annotated[
        str, typer.Option(help="Prior where the model is used: training, uniform, or CLASS=SHARE,...")
    ] = "training",
    training_prior: Annotated[
        str, typer.Option(help="Prior it was trained on, if --prior is not training: uniform, or CLASS=COUNT,...")
    ] = "",
    metrics: Annotated[str, typer.Option(help="What is compared and also scored, with commas.")] = COMPARED,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of patients; 10000 for a paper.")] = 2000,
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    legacy_auc: Annotated[
        bool, typer.Option("--legacy-auc", help="Also FU-LoRA's published AUC, which is wrong, to compare with it.")
    ] = False,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON; - prints them.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a PNG: confusion matrix and accuracy of each site.")
    ] = None,
) -> None:
    """Score a classification: every figure with interval, label set, decision rule, images and patients.

    Columns: image_id, patient, site, true, and predicted or one probability a class, in a column named by the class or
    probability_CLASS. The classes are those of the label set named by --labels or in a folder of predictions; else of
    the shipped label set that most names in the file belong to; else the names in the file. With machine and sha256
    also by machine, and with and without pictures that stand under two patients. Intervals resample patients within
    sites.

    Examples:

      fulora score classification predictions.csv

      fulora score classification hybrid.csv --against real.csv --draws 10000 --json scores.json --figure scores.png

      fulora score classification mine.csv --labels my_classes.yaml

      fulora score classification mine.csv --labels normal,cyst --prior uniform --training-prior normal=90,cyst=10
    """
    from fulora.data.predictions.files import read_predictions
    from fulora.data.predictions.pairs import paired
    from fulora.metrics.classification_metrics import select_metrics as chosen_metrics
    from fulora.metrics.comparison import compare
    from fulora.metrics.scorecard import Sampling
    from pipelines.commands.score_tables import print_comparisons, print_scores

    (asked, averaged), sampling = _asked(labels), Sampling(draws=draws, seed=seed)
    found = read_predictions(file, asked)
    chosen = _labels(found, averaged)
    measured = chosen_metrics(_names(metrics))
    adjusted = _prior(found.answers.names, prior, training_prior)
    rows = _scores(found, chosen, adjusted, sampling, measured, legacy_auc)
    comparisons, notes = [], list[str]()
    if against is not None:
        baseline = read_predictions(against, asked)
        ours, other = paired(found, baseline)
        notes = [f"{against}: {note}" for note in baseline.notes]
        comparisons = compare(
            ours, other, chosen, _prior(ours.names, prior, training_prior), sampling, measured.compared
        )
    facts = _facts(found, chosen, rows, sampling) | {"against": against and str(against)}
    facts["notes"] += notes
    text = json.dumps(facts | {"comparisons": [asdict(row) for row in comparisons]}, indent=1, ensure_ascii=False)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(text + "\n", encoding="utf-8")
    if str(json_file) == "-":
        print(text)
    else:
        print_scores(facts, rows)
        print_comparisons(facts, comparisons)
    if figure is not None:
        from fulora.report.classification_scores import plot_scores

        figure.write_bytes(plot_scores(facts["confusion"], rows))


def _asked(text: str) -> "tuple[RequestedClasses, list[str]]":
    """What `--labels` says of the file's classes, and which of them are averaged."""
    from fulora.data.label_set import label_set, shipped

    names = _names(text)
    if text in shipped() or Path(text).suffix in (".yaml", ".yml"):
        return label_set(text), []
    return names, names


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _labels(found: "PredictionFile", asked: Sequence[str]) -> list[int]:
    """The classes that are averaged: those asked for, else those that an image truly shows."""
    names = found.answers.names
    if unknown := [name for name in asked if name not in names]:
        raise ValueError(f"--labels: {', '.join(unknown)} is no class of {found.path}; its classes: {', '.join(names)}")
    chosen = [names.index(name) for name in asked] or list(range(len(names)))
    shown = found.answers.shown(chosen)
    if not shown:
        raise ValueError(f"--labels: no image of {found.path} truly shows {', '.join(asked)}")
    return shown


def _prior(names: Sequence[str], target: str, training: str) -> "Prior | None":
    """The priors of the classes that the options name; None for the prior of the training."""
    from fulora.metrics.answers import Prior

    if target == "training":
        return None
    if not training:
        raise ValueError(
            f"--prior {target} needs --training-prior: what the model was trained on, such as "
            f"uniform or {names[0]}=353,... (counts or shares)"
        )
    return Prior(_shares("--training-prior", training, names), _shares("--prior", target, names))


def _shares(option: str, text: str, names: Sequence[str]) -> "Float[np.ndarray, ' classes']":
    """Shares of the classes, adding up to 1; a class that is not named has none."""
    import numpy as np

    if text == "uniform":
        return np.full(len(names), 1 / len(names))
    found = np.zeros(len(names))
    for part in _names(text):
        name, _, number = part.partition("=")
        try:
            found[names.index(name.strip())] = float(number)
        except ValueError as error:
            raise ValueError(
                f"{option}: {part!r} is no CLASS=NUMBER; classes are {', '.join(names)} (or uniform alone)"
            ) from error
    if not (found >= 0).all() or not 0 < found.sum() < np.inf:
        raise ValueError(f"{option}: {text!r} must hold numbers of 0 or more, one of them above 0")
    return np.asarray(found / found.sum())


def _scores(
    found: "PredictionFile",
    labels: Sequence[int],
    prior: "Prior | None",
    sampling: "Sampling",
    metrics: "MetricSelection",
    legacy_auc: bool,
) -> list["ScoreRow"]:
    """All rows: of the file, by machine, without pictures that stand under two patients, and legacy ones."""
    import numpy as np

    from fulora.metrics.answers import decision_rules
    from fulora.metrics.groups import ImageGroup
    from fulora.metrics.scorecard import decision_scores, group_scores, legacy_scores, scorecard

    answers = found.answers
    rows = scorecard(answers, labels, prior, sampling, metrics)
    inside = np.isin(answers.true, labels)
    part = answers.of(inside)
    if found.machines is not None:
        rules = decision_rules(part, labels, prior)
        rows += group_scores(part, rules, labels, found.machines[inside], "machine", sampling, metrics)
    if found.shared is not None and found.shared.any() and (inside & ~found.shared).any():
        alone = answers.of(inside & ~found.shared)
        shown = alone.shown(labels)
        asked = [metric for metric in metrics.computed if metric.groups != "none"]
        for rule in decision_rules(alone, shown, prior):
            rows += decision_scores(alone, rule, shown, sampling, asked, ImageGroup("without duplicates"))
    return rows + (legacy_scores(answers, labels) if legacy_auc else [])


def _facts(
    found: "PredictionFile", labels: Sequence[int], rows: Sequence["ScoreRow"], sampling: "Sampling"
) -> dict[str, Any]:
    """What JSON holds, comparisons aside."""
    import numpy as np

    from fulora.metrics.classification import confusion_matrix

    answers = found.answers
    inside = answers.of(np.isin(answers.true, labels))
    matrix = confusion_matrix(inside.true, inside.decided[0], range(len(answers.names)))
    return {
        "file": str(found.path),
        "images": len(inside.true),
        "patients": len(np.unique(found.patients[np.isin(answers.true, labels)])),
        "clusters": len(np.unique(inside.patients)),
        "sites": len(np.unique(inside.sites)),
        "classes": list(answers.names),
        "labels": [answers.names[label] for label in labels],
        "decision": found.decided_by,
        "left_out": len(answers.true) - len(inside.true),
        "shared_pictures": None if found.shared is None else int(found.shared.sum()),
        "columns_not_read": list(found.unread),
        "notes": [f"{found.path}: {note}" for note in found.notes],
        "level": sampling.level,
        "draws": sampling.draws,
        "seed": sampling.seed,
        "confusion": {
            "true": [answers.names[label] for label in labels],
            "decided": list(answers.names),
            "counts": matrix[labels].tolist(),
        },
        "scores": [asdict(row) for row in rows],
    }
