"""The drill of a new metric: a line of one table, and it is computed, compared, tested and shown."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from fulora.classification.scores import arm_scores, comparisons, read_arms
from fulora.config import Config
from fulora.data.comparisons import ComparisonsConfig
from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet
from fulora.data.leak_check import Overlap
from fulora.data.results import (
    LeakTable,
    Measurement,
    Measurements,
    Prediction,
    PredictionFacts,
    Predictions,
    Scores,
    write_table,
)
from fulora.data.score import Score, ScoreConfig
from fulora.metrics import classification_metrics
from fulora.metrics.classification_metrics import Metric, SeedAnswers
from fulora.metrics.statistics import WeightedStatistic
from fulora.metrics.weighted_scores import tallies
from fulora.report.classification import classification_section
from fulora.report.page import Section
from fulora.report.parts import ClassificationPart, SegmentationPart
from fulora.report.segmentation import segmentation_section
from fulora.segmentation import mask_metrics, scores
from fulora.segmentation.mask_metrics import MaskMetric

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
LABELS = LabelSet.derived(["left - right", "up, down", "neither"])
LEAKS = (Overlap(trained_on="LoRA", images=9, patients=4),)
PAIR = ComparisonsConfig(declared=("new - arm", "old, arm"))


def specificity(said: SeedAnswers) -> WeightedStatistic:
    """The mean over labels of the share of other classes' images that are not taken for it."""

    def value(weights: np.ndarray) -> np.ndarray:
        found = tallies(said.true, said.answers, said.labels, weights)
        others = weights.sum(axis=1, keepdims=True) - found.true
        return np.asarray((1 - (found.predicted - found.hits) / others).mean(axis=1))

    return value


def arms(folder: Path) -> dict[str, list[Predictions]]:
    """A guessing arm and a better one: 30 patients of two images each."""
    found: dict[str, list[Predictions]] = {}
    for number, (name, gain) in enumerate({"old, arm": 0.5, "new - arm": 3.0}.items()):
        rng, out = np.random.default_rng(number), folder / str(number)
        out.mkdir()
        logits = rng.normal(size=(60, 3)) + gain * np.eye(3)[np.arange(60) % 3]
        given = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
        rows = [
            Prediction(
                image_id=f"i{n}",
                patient_key=f"p{n // 2}",
                site="AB"[n // 2 % 2],
                plane=LABELS.names[n % 3],
                probabilities=tuple(map(float, values)),
            )
            for n, values in enumerate(given)
        ]
        write_table(out, rows)
        (out / "facts.json").write_text(PredictionFacts(protocol="transfer").model_dump_json(), encoding="utf-8")
        LABELS.write(out)
        found[name] = [Predictions(out, name)]
    return found


def stored(folder: Path, rows: Sequence[Config]) -> Path:
    folder.mkdir()
    write_table(folder, rows)
    return folder


def first_columns(section: Section) -> dict[str, str]:
    return {table.title: table.header[1] for table in section.tables}


def test_a_metric_of_classifiers_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = Metric("macro specificity", "decision", specificity, computed=False, labels=2)
    monkeypatch.setattr(classification_metrics, "METRICS", (*classification_metrics.METRICS, new))
    config = ScoreConfig(draws=200, permutations=199, metrics=("macro specificity", "accuracy"), comparisons=PAIR)
    given = arms(tmp_path)
    read = read_arms(given)
    rows = [row for arm in read.values() for row in arm_scores(arm, config)] + comparisons(read, config)
    gain = next(row for row in rows if row.baseline)
    assert (gain.quantity, gain.role, gain.test, gain.group.kind) == ("macro specificity", "declared", "swap", "all")
    assert (gain.low or 0) > 0
    LABELS.write(tmp_path)
    images = ImageSet(tmp_path, "")
    scores, leaks = Scores(stored(tmp_path / "scores", rows), ""), LeakTable(stored(tmp_path / "leaks", LEAKS), "")
    section = classification_section(ClassificationPart(images, {}, None, given, scores, {}, leaks))
    assert first_columns(section) == {
        "Classification of the unseen population": "Macro specificity",
        "Arms compared": "Macro specificity",
        "By site: new - arm minus old, arm": "Macro specificity",
        "Macro specificity by site": "A (30 images, 15 patients)",
        "Recall by class": "left - right (20 images, 20 patients)",
        "Leak check": "Images",
    }
    assert section.text[1].startswith("Macro specificity of new - arm minus old, arm (declared): ")


def heads(seed: int, shift: float) -> list[Measurement]:
    values = 0.7 + shift + 0.05 * np.random.default_rng(seed).normal(size=20)
    return [
        Measurement(
            image_id=f"i{n}",
            patient_key=f"p{n}",
            site="A",
            structure="left - lung",
            quantity="dice",
            unit="1",
            value=float(value),
            reference=None,
        )
        for n, value in enumerate(values)
    ]


def test_a_metric_of_masks_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    new = MaskMetric("share above 0.7", "dice", lambda found: (found.values > 0.7).astype(float), span=(0.0, 1.0))
    monkeypatch.setattr(mask_metrics, "METRICS", (*mask_metrics.METRICS, new))
    config = scores.MaskScoreConfig(draws=100, permutations=100, metrics=("share above 0.7",), comparisons=PAIR)
    tables = {"old, arm": [heads(1, 0.0)], "new - arm": [heads(2, 0.1)]}
    read = {arm: scores.read_arm(arm, seeds, config) for arm, seeds in tables.items()}
    rows: list[Score] = [row for arm in read.values() for row in scores.arm_scores(arm, config)]
    rows += scores.comparisons(read, config)
    assert [(row.quantity, row.role) for row in rows if row.baseline] == [("share above 0.7", "declared")]
    measured = {arm: [Measurements(stored(tmp_path / arm, seeds[0]), "")] for arm, seeds in tables.items()}
    shown, leaks = Scores(stored(tmp_path / "scores", rows), ""), LeakTable(stored(tmp_path / "leaks", LEAKS), "")
    section = segmentation_section(SegmentationPart(ImageSet(tmp_path, ""), {}, measured, shown, leaks))
    assert first_columns(section) == {
        "Segmentation (left - lung)": "Share above 0.7",
        "Segmentation arms compared": "Share above 0.7",
        "Leak check of segmentation": "Images",
    }
    names = [figure.name for figure in section.figures]
    assert {"arms-share-above-0-7-left-lung-1", "gains-share-above-0-7-left-lung-1"} <= set(names)


@pytest.mark.parametrize("name", ["Cohen's kappa", "circumference relative difference"])
def test_a_metric_is_named_in_one_file(name: str) -> None:
    """Beside the text of the module that computes it, if that is another one."""
    sources = [path for package in ("fulora", "pipelines") for path in (ROOT / package).rglob("*.py")]
    assert len([path for path in sources if f'"{name}"' in path.read_text(encoding="utf-8")]) == 1


PARSING = ('split(", ', 'split(" - "', 'rpartition(", ', 'partition(" ")', "removesuffix(f", ' - "', '" minus "')


def test_names_are_not_parsed() -> None:
    folders = [ROOT / "fulora" / "report", ROOT / "fulora" / "metrics", ROOT / "fulora" / "segmentation"]
    files = [path for folder in folders for path in folder.rglob("*.py")]
    files += [ROOT / "fulora" / "classification" / "scores.py", *(ROOT / "pipelines" / "commands").glob("score*.py")]
    files += [*(ROOT / "pipelines" / "commands").glob("mask_*.py")]
    found = {(path.name, text) for path in files for text in PARSING if text in path.read_text(encoding="utf-8")}
    assert not found
