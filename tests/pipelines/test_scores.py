"""Scores of made-up predictions: a perfect arm, a guessing one, and others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from fulora.classification.scores import read_arm
from fulora.data.labels import PLANES
from fulora.data.results import (
    FACTS,
    Prediction,
    PredictionFacts,
    Predictions,
    Score,
    ScoreConfig,
    Scores,
    write_table,
)
from pipelines.stages.score import score

CONFIG = ScoreConfig(draws=100, permutations=999)
PATIENTS, PER_PATIENT = 40, 5
SHOWN = PLANES[:4]


def probabilities(kind: str, seed: int) -> np.ndarray:
    """(n, 5) of one training seed; image i shows plane i modulo 4."""
    true = np.arange(PATIENTS * PER_PATIENT) % len(SHOWN)
    if kind == "guess":
        return np.random.default_rng(seed).dirichlet(np.ones(5), len(true))
    found = np.full((len(true), 5), 0.0)
    found[np.arange(len(true)), true] = 0.4 if kind == "shy" else 1.0
    if kind == "shy":  # says "other" first and the truth second
        found[:, 4] = 0.6
    return found


def predictions(folder: Path, kind: str, seeds: int) -> list[Predictions]:
    made = []
    for seed in range(seeds):
        out = folder / f"{kind}{seed}"
        out.mkdir(parents=True)
        rows = [
            Prediction(
                image_id=f"i{n}",
                patient_key=f"s/{'AB'[n // PER_PATIENT % 2]}/{n // PER_PATIENT}",
                site="AB"[n // PER_PATIENT % 2],
                plane=SHOWN[n % len(SHOWN)],
                probabilities=tuple(values),
            )
            for n, values in enumerate(probabilities(kind, seed).tolist())
        ]
        write_table(out, rows)
        facts = PredictionFacts(protocol="prompt" if kind == "shy" else "transfer", training_prior=(0.2,) * 5)
        (out / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")
        made.append(Predictions(out, f"{kind}{seed}"))
    return made


def scored(folder: Path, kinds: Mapping[str, str], seeds: int = 2) -> list[Score]:
    given = {arm: predictions(folder / arm, kind, 1 if arm == "prompt" else seeds) for arm, kind in kinds.items()}
    (folder / "out").mkdir()
    assert isinstance(score.function(folder / "out", CONFIG, given), Scores)
    return Scores(folder / "out", "").rows()


def rescored(folder: Path, change: Callable[[list[Prediction]], list[Prediction]]) -> list[Score]:
    """Scores of a guessing real arm and a perfect hybrid one, after `change` of their predictions."""
    given = {arm: predictions(folder / arm, kind, 2) for arm, kind in {"real": "guess", "hybrid": "perfect"}.items()}
    for made in (item for items in given.values() for item in items):
        write_table(made.path, change(made.rows()))
    (folder / "out").mkdir()
    score.function(folder / "out", CONFIG, given)
    return Scores(folder / "out", "").rows()


def one(rows: Sequence[Score], name: str, arm: str, group: str = "all") -> Score:
    (found,) = [row for row in rows if (row.name, row.arm, row.group) == (name, arm, group)]
    return found


AMONG, AUC = "accuracy, 4-way, among the labels", "macro one-vs-rest AUC"
NAMES = ("accuracy", AMONG, "macro F1", AUC)


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    return scored(tmp_path_factory.mktemp("scores"), {"prompt": "shy", "real": "guess", "hybrid": "perfect"})


@pytest.mark.parametrize("name", NAMES)
def test_a_perfect_classifier_scores_1(rows: list[Score], name: str) -> None:
    """With no error to resample, Clopper and Pearson's bound of 40 of 40 patients; none of other scores."""
    found = one(rows, name, "hybrid")
    low = pytest.approx(0.025 ** (1 / PATIENTS))
    assert (found.value, found.low, found.high) == (1.0, *((low, 1.0) if "accuracy" in name else (None, None)))


@pytest.mark.parametrize(("name", "chance"), [("accuracy", 0.2), (AMONG, 0.25), (AUC, 0.5)])
def test_a_guessing_classifier_scores_chance(rows: list[Score], name: str, chance: float) -> None:
    found = one(rows, name, "real")
    assert found.low is not None
    assert found.high is not None
    assert found.low < chance < found.high
    assert 0.02 < found.high - found.low < 0.25
    assert found.low <= found.value <= found.high


def test_what_is_decided_among_all_five_planes_and_what_among_those_shown(rows: list[Score]) -> None:
    assert one(rows, "accuracy", "prompt").value == 0.0
    assert one(rows, AMONG, "prompt").value == 1.0
    assert one(rows, AUC, "prompt").value == 1.0
    assert one(rows, "macro F1", "prompt").value == 0.0
    assert one(rows, "rate of deciding other", "prompt").value == 1.0
    assert one(rows, "macro F1", "prompt").note.startswith("5-way, own decision; over abdomen, brain, femur, thorax; ")


def test_every_row_says_what_it_was_computed_from(rows: list[Score]) -> None:
    for row in rows:
        assert row.protocol == ("prompt" if row.arm.startswith("prompt") else "transfer")
        assert row.n_seeds == (1 if row.arm == "prompt" else 2)
        assert row.n_patients == (PATIENTS // 2 if row.group.startswith("site") else PATIENTS)
        if not row.group.startswith("plane"):
            assert row.n_images == row.n_patients * PER_PATIENT
        assert row.unit == "1"
    keys = [(row.name, row.arm, row.group) for row in rows]
    assert len(keys) == len(set(keys))


def test_sites_add_up_to_the_whole(rows: list[Score]) -> None:
    sites = [one(rows, "accuracy", "real", f"site {site}").value for site in "AB"]
    assert np.mean(sites) == pytest.approx(one(rows, "accuracy", "real").value)


def test_the_contrast_is_hybrid_minus_real(rows: list[Score], tmp_path: Path) -> None:
    name = "accuracy, hybrid minus real"
    gain = one(rows, name, "hybrid - real")
    assert gain.value == pytest.approx(1 - one(rows, "accuracy", "real").value)
    assert gain.low is not None
    assert gain.low > 0.6
    assert (gain.p, gain.p_holm, gain.role) == (0.001, None, "declared")
    assert "clustered McNemar p = 0.0000; least difference found with 80 % power: 0." in gain.note
    loss = one(scored(tmp_path, {"real": "perfect", "hybrid": "guess"}), name, "hybrid - real")
    assert loss.value == pytest.approx(-gain.value)
    assert loss.high is not None
    assert loss.high < 0


def test_equal_arms_have_no_contrast(tmp_path: Path) -> None:
    same = one(scored(tmp_path, {"real": "guess", "hybrid": "guess"}), "accuracy, hybrid minus real", "hybrid - real")
    bound = pytest.approx(1 - 0.025 ** (1 / PATIENTS))
    assert (same.value, -(same.low or 0), same.high) == (0.0, bound, bound)
    assert same.p == 1.0


def test_one_training_seed_is_enough(tmp_path: Path) -> None:
    rows = scored(tmp_path, {"real": "guess", "hybrid": "perfect"}, seeds=1)
    assert {row.n_seeds for row in rows} == {1}
    assert one(rows, "accuracy", "hybrid").value == 1.0


def test_a_site_with_one_patient_has_no_interval_and_says_why(tmp_path: Path) -> None:
    def alone(rows: list[Prediction]) -> list[Prediction]:
        return [
            row.model_copy(update={"site": "E", "patient_key": "s/E/0"}) if n < 3 else row for n, row in enumerate(rows)
        ]

    found = rescored(tmp_path, alone)
    single = one(found, "accuracy", "real", "site E")
    assert (single.low, single.high, single.n_images, single.n_patients) == (None, None, 3, 1)
    assert single.note == "5-way, own decision; over abdomen, brain, femur; no interval: a single patient"
    assert one(found, "accuracy", "real").low is not None
    assert one(found, "accuracy", "real", "site A").low is not None


def test_one_patient_in_all_still_has_scores(tmp_path: Path) -> None:
    found = rescored(tmp_path, lambda rows: [row.model_copy(update={"site": "A", "patient_key": "x"}) for row in rows])
    assert {row.low for row in found} == {None}
    assert all("a single patient" in row.note for row in found)
    assert one(found, "accuracy, hybrid minus real", "hybrid - real").value > 0.5


def test_a_plane_of_one_patient_has_no_interval_of_f1_and_says_why(tmp_path: Path) -> None:
    def rare(rows: list[Prediction]) -> list[Prediction]:
        return [row for n, row in enumerate(rows) if row.plane != "femur" or n == 2]

    found = rescored(tmp_path, rare)
    assert one(found, "macro F1", "hybrid").value == 1.0
    assert one(found, "macro F1", "hybrid").low is None
    assert "no interval: " in one(found, "macro F1", "hybrid").note
    assert (one(found, "accuracy", "hybrid").low or 0) > 0.9


def test_a_single_plane_has_no_auc(tmp_path: Path) -> None:
    found = rescored(tmp_path, lambda rows: [row for row in rows if row.plane == "brain"])
    assert not [row for row in found if "AUC" in row.name]
    assert one(found, "accuracy, hybrid minus real", "hybrid - real").p == 0.001


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        scored(tmp_path / name, {"real": "guess", "hybrid": "perfect"})
    assert (tmp_path / "a/out/table.jsonl").read_bytes() == (tmp_path / "b/out/table.jsonl").read_bytes()


def test_the_declared_contrast_is_the_configs_and_others_are_exploratory(tmp_path: Path) -> None:
    kinds = {"real": "guess", "hybrid": "perfect", "copies": "guess"}
    given = {arm: predictions(tmp_path / arm, kind, 2) for arm, kind in kinds.items()}
    (tmp_path / "out").mkdir()
    config = CONFIG.model_copy(update={"contrast": ("copies", "real")})
    score.function(tmp_path / "out", config, given)
    found = [row for row in Scores(tmp_path / "out", "").rows() if row.role and row.group == "all"]
    declared, *others = found
    assert (declared.arm, declared.role, declared.value) == ("copies - real", "declared", 0.0)
    assert declared.note.startswith("declared before the run; clustered McNemar p = 1.0000; least difference")
    assert {row.role for row in others} == {"exploratory"}
    gain = one(others, "accuracy, hybrid minus real", "hybrid - real")
    assert (gain.p, gain.p_holm) == (0.001, 0.001)
    assert gain.note.startswith("exploratory; p adjusted by Holm over 1 comparison; ")
    assert {row.name.split(",")[0] for row in others} == {"accuracy", "macro F1", AUC}


def test_p_is_that_of_patients_or_of_training_seeds_whichever_is_larger(tmp_path: Path) -> None:
    """Three seeds of which one gains nothing: patients agree, seeds do not."""
    real = predictions(tmp_path / "real", "guess", 3)
    better = predictions(tmp_path / "better", "perfect", 2)
    (tmp_path / "out").mkdir()
    config = CONFIG.model_copy(update={"contrast": ("hybrid", "real")})
    score.function(tmp_path / "out", config, {"real": real, "hybrid": [*better, real[2]]})
    gain = one(Scores(tmp_path / "out", "").rows(), "accuracy, hybrid minus real", "hybrid - real")
    decided = [np.array([np.argmax(row.probabilities) for row in item.rows()]) for item in real]
    true = np.array([PLANES.index(row.plane) for row in real[0].rows()])
    gains = [1 - np.mean(decided[0] == true), 1 - np.mean(decided[1] == true), 0.0]
    assert gain.p == pytest.approx(stats.ttest_1samp(gains, 0.0).pvalue)
    assert gain.p is not None
    assert gain.p > 0.05
    assert "(sign flip of patients: 0.0010) and that over training seeds (paired t test: " in gain.note


def test_machines_repeated_pictures_priors_and_the_legacy_auc_are_scored(tmp_path: Path) -> None:
    (made,) = predictions(tmp_path, "guess", 1)
    rows = [
        row.model_copy(update={"machine": "old" if n % 2 else "", "sha256": "x" if n < 10 else f"{n}"})
        for n, row in enumerate(made.rows())
    ]
    write_table(made.path, rows)
    prior = {"brain": 3.0, "abdomen": 1.0}
    (tmp_path / "out").mkdir()
    config = CONFIG.model_copy(update={"contrast": ("one", "other"), "prior": prior, "legacy_auc": True})
    score.function(tmp_path / "out", config, {"one": [made], "other": [made]})
    found = Scores(tmp_path / "out", "").rows()
    whole = one(found, "accuracy", "one")
    machines = [one(found, "accuracy", "one", f"machine {name}") for name in ("old", "unknown")]
    assert sum(row.n_images for row in machines) == whole.n_images == 200
    assert one(found, "accuracy", "one", "without pictures that stand twice").n_images == 190
    values = np.array([row.probabilities for row in rows]) * [1, 3, 0, 0, 0]
    right = np.mean([PLANES[v] == row.plane for v, row in zip(values.argmax(1), rows, strict=True)])
    assert one(found, "accuracy, prior-adjusted", "one").value == pytest.approx(right)
    assert "wrong" in one(found, "legacy FU-LoRA AUC (wrong, of hard decisions)", "one").name


def test_an_adapted_clip_is_compared_with_the_one_it_was(tmp_path: Path) -> None:
    given = {arm: predictions(tmp_path / arm, kind, n) for arm, kind, n in ARMS_OF_ALL_PROTOCOLS}
    for made in given["tuned"]:
        facts = made.facts().model_copy(update={"protocol": "adapted"})
        (made.path / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")
    (tmp_path / "out").mkdir()
    score.function(tmp_path / "out", CONFIG, given)
    pairs = {row.arm for row in Scores(tmp_path / "out", "").rows() if row.role}
    assert pairs == {"hybrid - real", "prompt - real", "tuned - real", "tuned - prompt"}


ARMS_OF_ALL_PROTOCOLS = (("real", "guess", 2), ("hybrid", "perfect", 2), ("prompt", "shy", 1), ("tuned", "guess", 2))


def test_an_arm_whose_seeds_differ_in_images_or_protocol_is_refused(tmp_path: Path) -> None:
    first, second = predictions(tmp_path, "guess", 2)
    write_table(second.path, second.rows()[::-1])
    with pytest.raises(ValueError, match="arm 'real': its training seeds predict different images"):
        read_arm("real", [first, second])
    write_table(second.path, first.rows())
    (second.path / FACTS).write_text('{"protocol": "fewshot"}', encoding="utf-8")
    with pytest.raises(ValueError, match="arm 'real': its training seeds follow several protocols"):
        read_arm("real", [first, second])


def test_priors_add_up_to_something() -> None:
    with pytest.raises(ValueError, match="one of them above 0"):
        ScoreConfig(prior={"brain": 0.0})
