"""The published "AUC" from the published confusion matrix."""

import numpy as np
import pytest
import sklearn.metrics

from fulora.metrics import legacy_auc as legacy
from fulora.metrics.classification import macro_f1
from fulora.metrics.weighted_scores import tallies

OTHER, *LABELS = range(5)  # the notebook's order: other, abdomen, brain, femur, thorax
NOTEBOOK = np.array([[0, 0, 0, 0, 0], [25, 37, 0, 2, 1], [1, 0, 64, 0, 0], [11, 0, 0, 53, 0], [8, 0, 1, 1, 29]])


@pytest.fixture
def notebook() -> tuple[np.ndarray, np.ndarray]:
    """True and predicted classes of 233 images with the confusion matrix that the notebook stores."""
    true, predicted = np.indices(NOTEBOOK.shape).reshape(2, -1)
    return np.repeat(true, NOTEBOOK.ravel()), np.repeat(predicted, NOTEBOOK.ravel())


def test_the_notebooks_figures_are_reproduced(notebook: tuple) -> None:
    counts = tallies(*notebook, LABELS, np.ones((1, 233)))
    assert round(100 * np.mean(notebook[0] == notebook[1]), 2) == 78.54
    assert round(100 * counts.recall.mean(), 2) == 78.14
    assert round(100 * counts.precision.mean(), 2) == 97.44
    assert round(100 * macro_f1(*notebook, LABELS), 2) == 85.85


def test_the_notebooks_auc_is_reproduced_and_the_right_one_differs(notebook: tuple) -> None:
    wrong = legacy.legacy_fu_lora_auc(*notebook, LABELS)
    assert [round(value, 4) for value in wrong] == [0.9174, 0.8661, 0.8905, 0.8764]
    right = legacy.hard_label_auc(*notebook, LABELS)
    assert [round(value, 4) for value in right] == [0.7846, 0.9893, 0.9052, 0.8692]
    assert round(100 * np.mean(wrong), 2) == 88.76
    assert round(100 * np.mean(right), 2) == 88.71


def test_the_formula_put_right_is_scikit_learns_on_decisions(notebook: tuple) -> None:
    true, predicted = notebook
    expected = [sklearn.metrics.roc_auc_score(true == label, predicted == label) for label in LABELS]
    assert legacy.hard_label_auc(true, predicted, LABELS) == pytest.approx(expected)


def test_saying_other_to_everything_is_half_right_by_the_legacy_formula(notebook: tuple) -> None:
    true, _ = notebook
    nothing = np.zeros_like(true)
    assert legacy.legacy_fu_lora_auc(true, nothing, LABELS) == [0.5] * 4
