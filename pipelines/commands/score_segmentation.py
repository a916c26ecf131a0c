"""`fulora score segmentation`: masks against references by a protocol, and rankings of several predictions."""

import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.commands.mask_notes import invented_in, size_notes, tell_unused_spacing
from pipelines.commands.mask_protocols import PROTOCOLS, CaseScores, Protocol

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import Bool, Float, Shaped

    from fulora.intake.masks.value_mapping import MaskValues
    from fulora.intake.pixel_sizes import PixelSize
    from pipelines.commands.mask_protocols import Figure, ScoreOne, Scorer

EXAM = r"^(\d+)_"
"""Of HC18: images of one exam share the number that their names begin with."""

REFERENCE = "reference"
MEASURED: dict[Protocol, str] = {"psfhs": "Angle of progression", "hc18": "Head circumference", "plain": ""}
MEASURED_UNIT: dict[Protocol, str] = {"psfhs": "deg", "hc18": "mm", "plain": ""}


def segmentation(
    reference: Annotated[Path, typer.Option(help="Folder of reference masks: PNG, MHA or NIfTI.")],
    prediction: Annotated[
        list[Path], typer.Option(help="Folder of predicted masks of the same names; give several to rank.")
    ],
    protocol: Annotated[str, typer.Option(help="psfhs (the challenge's rules), hc18 (mm, HC) or plain (any classes).")],
    pixel_sizes: Annotated[
        Path | None, typer.Option(help="CSV: filename, pixel size(mm). Needed by hc18; gives plain distances in mm.")
    ] = None,
    label: Annotated[int | None, typer.Option(help="hc18: class number of the head, where masks hold several.")] = None,
    patient_pattern: Annotated[
        str,
        typer.Option(help="Regular expression with one group, the patient in a name; hc18 takes the exam's number."),
    ] = "",
    draws: Annotated[int, typer.Option(min=100, help="Bootstrap draws of patients.")] = 1000,
    values: Annotated[
        str, typer.Option(help="Which value of the masks is which class, such as 127=1,255=2, where it cannot be told.")
    ] = "",
    seed: Annotated[int, typer.Option(help="Of the draws.")] = 0,
    workers: Annotated[int, typer.Option(min=1, help="Threads.")] = 2,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write all figures as JSON; - prints them.")] = None,
    figure: Annotated[
        Path | None, typer.Option(help="Write a PNG: the rankings, or of one prediction its Bland-Altman plot.")
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
    from fulora.intake.masks.files import find_masks
    from fulora.intake.pixel_sizes import read_pixel_sizes

    chosen = _protocol(protocol)
    if figure is not None and len(prediction) < 2 and chosen == "plain":
        raise ValueError("--figure shows rankings, or angles or circumferences; plain needs --prediction twice or more")
    references = find_masks(reference)
    sizes = None if pixel_sizes is None else read_pixel_sizes(pixel_sizes)
    names = _names(prediction)
    predicted = {name: find_masks(folder) for name, folder in zip(names, prediction, strict=True)}
    mapping = _mapping(references, predicted, values, workers)
    scorer = _scorer(chosen, mapping, sizes, label)
    scored = {name: _scored(name, scorer.score, references, files, workers) for name, files in predicted.items()}
    patients, known = _patients(list(references), patient_pattern, chosen)
    length = "mm" if chosen == "hc18" or sizes else "px"
    facts: dict[str, Any] = {
        "protocol": chosen,
        "unit": length,
        "reference": str(reference),
        "cases": len(references),
        "patients": len(set(patients)),
        "patients_known": known,
        "draws": draws,
        "seed": seed,
        "mask_values": mapping.to_json(),
        "predictions": {
            name: _summary(cases, chosen, scorer.figures, length, patients, draws, seed)
            | {"not_scored": len(predicted[name].keys() - references)}
            | invented_in(cases)
            for name, cases in scored.items()
        },
    }
    facts |= size_notes([*scored.values()])
    if sizes is None:
        tell_unused_spacing([references, *predicted.values()])
    if len(names) > 1:
        facts["rankings"] = _rankings(scored, scorer.figures, patients, draws, seed, figure)
    elif figure is not None:
        _write_bland_altman(figure, scored[names[0]], chosen)
    _show(facts, scored, json_file)


def _protocol(text: str) -> Protocol:
    for name in PROTOCOLS:
        if text == name:
            return name
    raise ValueError(f"--protocol {text}: allowed are {', '.join(PROTOCOLS)}")


def _scorer(
    protocol: Protocol, mapping: "MaskValues", sizes: "Mapping[str, PixelSize] | None", label: int | None
) -> "Scorer":
    from fulora.intake.masks.files import resolve_label
    from pipelines.commands import mask_protocols

    if label is not None and protocol != "hc18":
        raise ValueError(f"--label belongs to --protocol hc18; {protocol} scores every class")
    if protocol == "psfhs":
        if sizes is not None:
            raise ValueError("--pixel-sizes: the challenge's distances are pixels; leave it out, or take plain or hc18")
        return mask_protocols.psfhs(mapping)
    if protocol == "plain":
        return mask_protocols.plain(mapping, sorted(mapping.held[REFERENCE] - {0}), sizes)
    if sizes is None:
        raise ValueError("--protocol hc18 needs --pixel-sizes: a CSV with filename and pixel size(mm)")
    return mask_protocols.hc18(mapping, sizes, resolve_label(mapping, label))


def _names(folders: Sequence[Path]) -> list[str]:
    """Short names of the predictions: their folders', or whole paths where those are equal."""
    short = [folder.resolve().name for folder in folders]
    names = short if len(set(short)) == len(short) else [str(folder) for folder in folders]
    if len(set(names)) < len(names):
        raise ValueError(f"--prediction: {', '.join(names)}: the same folder twice; give each once")
    return names


def _mapping(
    references: Mapping[str, Path], predicted: Mapping[str, Mapping[str, Path]], given: str, workers: int
) -> "MaskValues":
    """The mapping of values to classes of all references and of what is scored against them, printed."""
    from fulora.intake.masks.value_mapping import find_mask_values, parse_values
    from fulora.progress import note

    folders = {REFERENCE: list(references.values())} | {
        f"prediction {name}": [path for case, path in files.items() if case in references]
        for name, files in predicted.items()
    }
    mapping = find_mask_values(folders, parse_values(given), workers)
    note(mapping.describe())
    return mapping


def _rankings(
    scored: Mapping[str, Sequence[CaseScores]],
    figures: "Mapping[str, Figure]",
    patients: Sequence[str],
    draws: int,
    seed: int,
    figure: Path | None,
) -> dict[str, Any]:
    """The rankings of several predictions, and their figure where one is asked for."""
    from pipelines.commands.mask_rankings import ranked, ranking_facts, write_figure

    found = ranked({name: _matrix(scored, name) for name in figures}, figures, patients, draws, seed)
    if figure is not None:
        write_figure(figure, list(scored), found)
    return ranking_facts(found)


def _scored(
    name: str, score: "ScoreOne", references: Mapping[str, Path], files: Mapping[str, Path], workers: int
) -> list[CaseScores]:
    from fulora.intake.masks.files import map_cases
    from fulora.progress import track

    if not references.keys() & files.keys():
        first, other = next(iter(references)), next(iter(files))
        raise ValueError(f"{name}: no mask is named as a reference is; a reference is {first}, a prediction {other}")
    cases = map_cases(references, lambda case, path: score(case, path, files.get(case)), workers)
    return list(track(cases, f"{name} scored", total=len(references)))


def _patients(cases: Sequence[str], pattern: str, protocol: Protocol) -> tuple[list[str], bool]:
    """The patient of each case, and whether that is known: by the pattern, or by HC18's names where all are such."""
    from fulora.intake.patient_pattern import patient_finder

    if not pattern and protocol == "hc18" and all(re.match(EXAM, case) for case in cases):
        pattern = EXAM
    if not pattern:
        return list(cases), False
    finder = patient_finder(pattern, False)
    return [finder(case) for case in cases], True


def _matrix(scored: Mapping[str, Sequence[CaseScores]], metric: str) -> "Float[np.ndarray, 'methods cases']":
    import numpy as np

    return np.array([[case.values[metric] for case in cases] for cases in scored.values()], dtype=float)


def _summary(
    cases: Sequence[CaseScores],
    protocol: Protocol,
    figures: "Mapping[str, Figure]",
    length: str,
    patients: Sequence[str],
    draws: int,
    seed: int,
) -> dict[str, Any]:
    """Each figure over cases with its interval, failures by kind, and the challenge's S."""
    import numpy as np

    names, failed = np.array(patients), np.array([bool(case.failures) for case in cases])
    metrics = {
        metric: _figure(np.array([case.values[metric] for case in cases]), failed, figure, names, draws, seed)
        | {"unit": figure.in_unit(length)}
        for metric, figure in figures.items()
    }
    found: dict[str, Any] = {
        "metrics": metrics,
        "failed_cases": int(failed.sum()),
        "failures": dict(Counter(word for case in cases for word in case.failures)),
    }
    if (pairs := _pairs(cases)) and sum(value is not None for value, _ in pairs) >= 2:
        from fulora.biometry.agreement import agreement

        measured = agreement([value for value, _ in pairs], [truth for _, truth in pairs])
        found["agreement"] = asdict(measured) | {"of": MEASURED[protocol]}
    if protocol == "psfhs":
        from fulora.metrics.psfhs_challenge import score_of

        found["S"] = score_of({name: figure["mean"] for name, figure in metrics.items()})
    return found


def _pairs(cases: Sequence[CaseScores]) -> list[tuple[float | None, float]]:
    return [(case.measured, case.measured_reference) for case in cases if case.measured_reference is not None]


def _write_bland_altman(path: Path, cases: Sequence[CaseScores], protocol: Protocol) -> None:
    from fulora.report.figures import plot_bland_altman

    pairs = [(value, truth) for value, truth in _pairs(cases) if value is not None]
    unit, title = MEASURED_UNIT[protocol], f"{MEASURED[protocol]}: {len(cases) - len(pairs)} of {len(cases)} failed"
    path.write_bytes(plot_bland_altman([value for value, _ in pairs], [truth for _, truth in pairs], unit, title))


def _figure(
    values: "Float[np.ndarray, ' n']",
    failed: "Bool[np.ndarray, ' n']",
    figure: "Figure",
    patients: "Shaped[np.ndarray, ' n']",
    draws: int,
    seed: int,
) -> dict[str, Any]:
    from fulora.metrics.segmentation import summarise
    from fulora.metrics.statistics import weighted_bootstrap
    from fulora.metrics.weighted_scores import mean

    interval = weighted_bootstrap([partial(mean, values)], patients, draws=draws, seed=seed)
    summary = summarise(values, failed, higher_is_better=figure.higher_is_better)
    return asdict(summary) | {"low": interval.low, "high": interval.high}


def _show(facts: dict[str, Any], scored: Mapping[str, Sequence[CaseScores]], json_file: Path | None) -> None:
    from pipelines.commands.mask_tables import print_masks

    each_case = {name: [asdict(case) for case in cases] for name, cases in scored.items()}
    text = json.dumps(facts | {"per_case": each_case}, indent=1, ensure_ascii=False)
    if json_file is not None and str(json_file) != "-":
        json_file.write_text(text + "\n", encoding="utf-8")
    if str(json_file) == "-":
        print(text)
    else:
        print_masks(facts)
