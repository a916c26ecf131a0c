"""`fulora score`: scores with intervals for third-party predictions."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.commands.options import DrawSeed, JsonFile
from pipelines.commands.output import write_json
from pipelines.commands.score_segmentation import segmentation

if TYPE_CHECKING:
    from fulora.classification.prediction_scores import ClassShares
    from fulora.data.label_set import LabelSet

COMPARED = "accuracy,macro F1,macro one-vs-rest AUC,log loss"
HELP = "Scores with intervals for third-party predictions."
app = typer.Typer(no_args_is_help=True, add_completion=False, help=HELP)


@app.callback(help=HELP)
def group() -> None:
    """Group the commands, also if there is only one."""


app.command()(segmentation)


@app.command()
def classification(
    file: Annotated[Path, typer.Argument(help="CSV or JSON lines, or a folder of predictions that fulora wrote.")],
    labels: Annotated[
        str,
        typer.Option(
            help="Label set of the file: a shipped one's name, or a YAML file. Or the classes that are averaged, with "
            "commas; by default those that images show."
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
    metrics: Annotated[str, typer.Option(help="Metrics that are compared and also computed, with commas.")] = COMPARED,
    draws: Annotated[int, typer.Option(help="Bootstrap draws of patients; 10000 for a paper.")] = 2000,
    seed: DrawSeed = 0,
    legacy_auc: Annotated[
        bool, typer.Option("--legacy-auc", help="Also FU-LoRA's published AUC, which is wrong, to compare with it.")
    ] = False,
    json_file: JsonFile = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a PNG: confusion matrix and accuracy of each site.")
    ] = None,
) -> None:
    """Score a classification: every figure with interval, label set, decision rule, images and patients.

    Columns: image_id, patient, site, true, and predicted or one probability for each class, in a column named by the
    class or probability_CLASS. The classes are those of the label set named by --labels or in a folder of predictions;
    else of the shipped label set that most names in the file belong to; else the names in the file. With machine and
    sha256 also by machine, and with and without images listed under two patients. Intervals resample patients within
    sites.

    Examples:

      fulora score classification predictions.csv

      fulora score classification hybrid.csv --against real.csv --draws 10000 --json scores.json --figure scores.png

      fulora score classification mine.csv --labels my_classes.yaml

      fulora score classification mine.csv --labels normal,cyst --prior uniform --training-prior normal=90,cyst=10
    """
    from pipelines.commands.score_tables import print_comparisons, print_scores
    from pipelines.jobs.score import score

    scored = score(
        file,
        labels=_label_set(labels),
        against=against,
        prior=None if prior == "training" else _shares("--prior", prior),
        training_prior=_shares("--training-prior", training_prior) if training_prior else None,
        metrics=_names(metrics),
        draws=draws,
        seed=seed,
        legacy_auc=legacy_auc,
    )
    if not write_json(json_file, scored.to_json()):
        print_scores(scored.facts, scored.result.scores)
        print_comparisons(scored.facts, scored.result.comparisons)
    if figure is not None:
        figure.write_bytes(scored.png())


def _label_set(text: str) -> "LabelSet | list[str]":
    """A label set by its name or file, or names of classes."""
    from fulora.data.label_set import label_set, shipped

    return label_set(text) if text in shipped() or Path(text).suffix in (".yaml", ".yml") else _names(text)


def _names(text: str) -> list[str]:
    return [name.strip() for name in text.split(",") if name.strip()]


def _shares(option: str, text: str) -> "ClassShares":
    if text == "uniform":
        return "uniform"
    shares = {}
    for part in _names(text):
        name, _, number = part.partition("=")
        try:
            shares[name.strip()] = float(number)
        except ValueError as error:
            raise ValueError(f"{option}: {part!r} is not CLASS=NUMBER (or uniform alone)") from error
    return shares
