"""`fulora score segmentation`: masks against references by a protocol, and rankings of several predictions."""

from pathlib import Path
from typing import Annotated

import typer

from fulora.segmentation.protocols import MEASURED, Protocol
from pipelines.commands.options import DrawSeed, JsonFile, MaskValuesOption, Threads
from pipelines.commands.output import write_json


def segmentation(
    reference: Annotated[Path, typer.Option(help="Folder of reference masks: PNG, MHA or NIfTI.")],
    prediction: Annotated[
        list[Path], typer.Option(help="Folder of predicted masks of the same names; give several to rank.")
    ],
    protocol: Annotated[
        Protocol, typer.Option(help="psfhs (the challenge's rules), hc18 (mm, HC) or plain (any classes).")
    ],
    pixel_sizes: Annotated[
        Path | None,
        typer.Option(help="CSV: filename, pixel size(mm). Required by hc18; gives plain distances in mm."),
    ] = None,
    label: Annotated[int | None, typer.Option(help="hc18: class number of the head if masks hold several.")] = None,
    patient_pattern: Annotated[
        str,
        typer.Option(help="Regular expression with one group, the patient in a name; hc18 takes the exam's number."),
    ] = "",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws of patients.")] = 1000,
    values: MaskValuesOption = "",
    seed: DrawSeed = 0,
    workers: Threads = 2,
    json_file: JsonFile = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a PNG: the rankings, or for one prediction its Bland-Altman plot.")
    ] = None,
) -> None:
    """Score predicted masks; every reference counts, and one without a prediction counts as the worst.

    psfhs: labels 1 (pubic symphysis) and 2 (head); Dice, HD, ASD in pixels, angle of progression and the score S as the
    challenge's organisers compute them. hc18: heads; mm; circumference by ellipses. plain: each class by itself.

    Several predictions are ranked by three schemes: aggregate-then-rank, rank-then-aggregate, test-then-rank (Wilcoxon,
    Holm), each with a bootstrap of patients. Classes of predictions that no reference has are counted as invented.

    Examples:

      fulora score segmentation --reference gt --prediction ours --protocol psfhs

      fulora score segmentation --reference gt --prediction a --prediction b --protocol psfhs --figure ranks.png

      fulora score segmentation --reference masks --prediction ours --protocol hc18 --pixel-sizes pixel_sizes.csv
    """
    from fulora.intake.masks.value_mapping import parse_values
    from pipelines.commands.mask_tables import print_masks
    from pipelines.jobs.score_masks import score_masks

    if figure is not None and len(prediction) < 2 and protocol not in MEASURED:
        raise ValueError("--figure shows rankings, or angles or circumferences; plain needs --prediction twice or more")
    scores = score_masks(
        reference,
        prediction,
        protocol,
        pixel_sizes=pixel_sizes,
        label=label,
        patient_pattern=patient_pattern,
        values=parse_values(values),
        draws=draws,
        seed=seed,
        workers=workers,
    )
    if figure is not None:
        figure.write_bytes(scores.png())
    if not write_json(json_file, scores.to_json()):
        print_masks(scores.facts)
