"""Scores of made-up predictions: a perfect arm, a guessing one, and others."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from scipy import stats
from sklearn.metrics import cohen_kappa_score

from fulora.classification.scores import read_arm, read_arms
from fulora.data.comparisons import ComparisonsConfig
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.results import FACTS, Prediction, PredictionFacts, Predictions, Scores, write_table
from fulora.data.score import Score, ScoreConfig
from fulora.metrics.image_groups import ALL_IMAGES, ImageGroup
from pipelines.stages.score import score

pytestmark = pytest.mark.slow

CONFIG = ScoreConfig(draws=100, permutations=999)
PATIENTS, PER_PATIENT = 40, 5
FETAL = label_set("fetal_planes")
PLANES = FETAL.names
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
        FETAL.write(out)
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


def one(
    rows: Sequence[Score], quantity: str, arm: str, baseline: str = "", group: ImageGroup = ALL_IMAGES, rule: str = ""
) -> Score:
    """The score of an arm, or of a comparison; of decisions by the model's own rule where none is named."""
    own = (rule,) if rule else ("own decision", "probabilities", "probabilities among the labels")
    key = (quantity, arm, baseline, group)
    (found,) = [row for row in rows if (row.quantity, row.arm, row.baseline, row.group) == key and row.rule in own]
    return found


AMONG, AUC = "among the labels", "macro one-vs-rest AUC"
SCORED = (("accuracy", ""), ("accuracy", AMONG), ("macro F1", ""), (AUC, ""))


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    return scored(tmp_path_factory.mktemp("scores"), {"prompt": "shy", "real": "guess", "hybrid": "perfect"})


@pytest.mark.parametrize(("name", "rule"), SCORED)
def test_a_perfect_classifier_scores_1(rows: list[Score], name: str, rule: str) -> None:
    """With no error to resample, Clopper and Pearson's bound of 40 of 40 patients; none of other scores."""
    found = one(rows, name, "hybrid", rule=rule)
    low = pytest.approx(0.025 ** (1 / PATIENTS))
    assert (found.value, found.low, found.high) == (1.0, *((low, 1.0) if "accuracy" in name else (None, None)))


@pytest.mark.parametrize(("name", "rule", "chance"), [("accuracy", "", 0.2), ("accuracy", AMONG, 0.25), (AUC, "", 0.5)])
def test_a_guessing_classifier_scores_chance(rows: list[Score], name: str, rule: str, chance: float) -> None:
    found = one(rows, name, "real", rule=rule)
    assert found.low is not None
    assert found.high is not None
    assert found.low < chance < found.high
    assert 0.02 < found.high - found.low < 0.25
    assert found.low <= found.value <= found.high


def test_what_is_decided_among_all_five_planes_and_what_among_those_shown(rows: list[Score]) -> None:
    assert one(rows, "accuracy", "prompt").value == 0.0
    assert one(rows, "accuracy", "prompt", rule=AMONG).value == 1.0
    assert one(rows, AUC, "prompt").value == 1.0
    assert one(rows, "macro F1", "prompt").value == 0.0
    assert one(rows, "rate of deciding the negative class", "prompt").value == 1.0
    own, among = one(rows, "macro F1", "prompt"), one(rows, "macro F1", "prompt", rule=AMONG)
    assert (own.choices, among.choices, own.labels) == (5, 4, SHOWN)


def test_every_row_says_what_it_was_computed_from(rows: list[Score]) -> None:
    for row in rows:
        assert row.protocol == ("prompt" if row.arm == "prompt" else "transfer")
        assert row.n_seeds == (1 if row.arm == "prompt" and not row.baseline else 2)
        assert row.n_patients == (PATIENTS // 2 if row.group.kind == "site" else PATIENTS)
        if row.group.kind != "class":
            assert row.n_images == row.n_patients * PER_PATIENT
        assert row.unit == "1"
    keys = [(row.quantity, row.statistic, row.rule, row.arm, row.baseline, row.group) for row in rows]
    assert len(keys) == len(set(keys))


def test_sites_add_up_to_the_whole(rows: list[Score]) -> None:
    sites = [one(rows, "accuracy", "real", group=ImageGroup("site", site)).value for site in "AB"]
    assert np.mean(sites) == pytest.approx(one(rows, "accuracy", "real").value)


def test_the_declared_comparison_is_hybrid_minus_real(rows: list[Score], tmp_path: Path) -> None:
    gain = one(rows, "accuracy", "hybrid", "real")
    assert gain.value == pytest.approx(1 - one(rows, "accuracy", "real").value)
    assert gain.low is not None
    assert gain.low > 0.6
    assert (gain.p, gain.p_holm, gain.role) == (0.001, None, "declared")
    assert (gain.p_patients, gain.test, gain.p_seeds, gain.n_holm) == (0.001, "sign flip", None, None)
    assert gain.p_mcnemar is not None
    assert gain.p_mcnemar < 0.0001
    assert 0 < (gain.detectable or 0) < 0.2
    loss = one(scored(tmp_path, {"real": "perfect", "hybrid": "guess"}), "accuracy", "hybrid", "real")
    assert loss.value == pytest.approx(-gain.value)
    assert loss.high is not None
    assert loss.high < 0


def test_equal_arms_do_not_differ(tmp_path: Path) -> None:
    same = one(scored(tmp_path, {"real": "guess", "hybrid": "guess"}), "accuracy", "hybrid", "real")
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
    single = one(found, "accuracy", "real", group=ImageGroup("site", "E"))
    assert (single.low, single.high, single.n_images, single.n_patients) == (None, None, 3, 1)
    assert (single.labels, single.note) == (SHOWN[:3], "no interval: a single patient")
    assert one(found, "accuracy", "real").low is not None
    assert one(found, "accuracy", "real", group=ImageGroup("site", "A")).low is not None


def test_one_patient_in_all_still_has_scores(tmp_path: Path) -> None:
    found = rescored(tmp_path, lambda rows: [row.model_copy(update={"site": "A", "patient_key": "x"}) for row in rows])
    assert {row.low for row in found} == {None}
    assert all("a single patient" in row.note for row in found)
    assert one(found, "accuracy", "hybrid", "real").value > 0.5


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
    assert not [row for row in found if "AUC" in row.quantity]
    assert one(found, "accuracy", "hybrid", "real").p == 0.001


def test_the_same_predictions_give_the_same_bytes(tmp_path: Path) -> None:
    for name in "ab":
        scored(tmp_path / name, {"real": "guess", "hybrid": "perfect"})
    assert (tmp_path / "a/out/table.jsonl").read_bytes() == (tmp_path / "b/out/table.jsonl").read_bytes()


def test_the_declared_comparison_is_the_configs_and_others_are_exploratory(tmp_path: Path) -> None:
    kinds = {"real": "guess", "hybrid": "perfect", "copies": "guess"}
    given = {arm: predictions(tmp_path / arm, kind, 2) for arm, kind in kinds.items()}
    (tmp_path / "out").mkdir()
    config = CONFIG.changed(comparisons={"declared": ("copies", "real")})
    score.function(tmp_path / "out", config, given)
    found = [row for row in Scores(tmp_path / "out", "").rows() if row.baseline and row.group == ALL_IMAGES]
    declared, *others = found
    assert (declared.arm, declared.baseline, declared.role, declared.value) == ("copies", "real", "declared", 0.0)
    assert declared.p_mcnemar == 1.0
    assert {row.role for row in others} == {"exploratory"}
    gain = one(others, "accuracy", "hybrid", "real")
    assert (gain.p, gain.p_holm, gain.n_holm) == (0.001, 0.001, 1)
    assert {row.quantity for row in others} == {"accuracy", "macro F1", AUC}


def test_p_is_that_of_patients_or_of_training_seeds_whichever_is_larger(tmp_path: Path) -> None:
    """Three seeds of which one gains nothing: patients agree, seeds do not."""
    real = predictions(tmp_path / "real", "guess", 3)
    better = predictions(tmp_path / "better", "perfect", 2)
    (tmp_path / "out").mkdir()
    score.function(tmp_path / "out", CONFIG, {"real": real, "hybrid": [*better, real[2]]})
    gain = one(Scores(tmp_path / "out", "").rows(), "accuracy", "hybrid", "real")
    decided = [np.array([np.argmax(row.probabilities) for row in item.rows()]) for item in real]
    true = np.array([PLANES.index(row.plane) for row in real[0].rows()])
    gains = [1 - np.mean(decided[0] == true), 1 - np.mean(decided[1] == true), 0.0]
    assert gain.p == pytest.approx(stats.ttest_1samp(gains, 0.0).pvalue)
    assert gain.p is not None
    assert gain.p > 0.05
    assert (gain.p_patients, gain.test, gain.p_seeds) == (0.001, "sign flip", gain.p)


def test_machines_repeated_pictures_priors_and_the_legacy_auc_are_scored(tmp_path: Path) -> None:
    (made,) = predictions(tmp_path, "guess", 1)
    rows = [
        row.model_copy(update={"machine": "old" if n % 2 else "", "sha256": "x" if n < 10 else f"{n}"})
        for n, row in enumerate(made.rows())
    ]
    write_table(made.path, rows)
    prior = {"brain": 3.0, "abdomen": 1.0}
    (tmp_path / "out").mkdir()
    config = CONFIG.changed(comparisons={"declared": ("one", "other")}, prior=prior, legacy_auc=True)
    score.function(tmp_path / "out", config, {"one": [made], "other": [made]})
    found = Scores(tmp_path / "out", "").rows()
    whole = one(found, "accuracy", "one")
    machines = [one(found, "accuracy", "one", group=ImageGroup("machine", name)) for name in ("old", "unknown")]
    assert sum(row.n_images for row in machines) == whole.n_images == 200
    assert one(found, "accuracy", "one", group=ImageGroup("without duplicates")).n_images == 190
    values = np.array([row.probabilities for row in rows]) * [1, 3, 0, 0, 0]
    right = np.mean([PLANES[v] == row.plane for v, row in zip(values.argmax(1), rows, strict=True)])
    assert one(found, "accuracy", "one", rule="prior-adjusted").value == pytest.approx(right)
    assert one(found, "legacy FU-LoRA AUC (wrong, of hard decisions)", "one").rank == 0


def test_an_adapted_clip_is_compared_with_the_one_it_was(tmp_path: Path) -> None:
    given = {arm: predictions(tmp_path / arm, kind, n) for arm, kind, n in ARMS_OF_ALL_PROTOCOLS}
    for made in given["tuned"]:
        facts = made.facts().model_copy(update={"protocol": "adapted"})
        (made.path / FACTS).write_text(facts.model_dump_json(), encoding="utf-8")
    (tmp_path / "out").mkdir()
    score.function(tmp_path / "out", CONFIG, given)
    pairs = {(row.arm, row.baseline) for row in Scores(tmp_path / "out", "").rows() if row.baseline}
    assert pairs == {("hybrid", "real"), ("prompt", "real"), ("tuned", "real"), ("tuned", "prompt")}


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


def two_arms(folder: Path, first: str = "real", second: str = "hybrid", seeds: int = 2) -> dict[str, list[Predictions]]:
    (folder / "out").mkdir(parents=True)
    kinds = {first: "guess", second: "perfect"}
    return {name: predictions(folder / str(n), kind, seeds) for n, (name, kind) in enumerate(kinds.items())}


def rows_of(folder: Path, config: ScoreConfig, given: Mapping[str, Sequence[Predictions]]) -> list[Score]:
    score.function(folder / "out", config, given)
    return Scores(folder / "out", "").rows()


ODD = (
    "a - b",
    "x, y",
    "real minus",
    "minus",
    " - ",
    "accuracy",
    "site A",
    "=1+1",
    "🙂",
    "胎児",
    "a|b",
    "all",
    "{name}",
    "b - c, d",
)
FEW_DRAWS = CONFIG.changed(permutations=100)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> list[Score]:
    """Scores of two arms with plain names."""
    folder = tmp_path_factory.mktemp("plain")
    return rows_of(folder, FEW_DRAWS, two_arms(folder))


@pytest.mark.parametrize(("name", "baseline"), [*zip(ODD[::2], ODD[1::2], strict=True)])
def test_arms_may_have_any_name(tmp_path: Path, plain: list[Score], name: str, baseline: str) -> None:
    config = FEW_DRAWS.changed(comparisons={"declared": (name, baseline)})
    odd = rows_of(tmp_path, config, two_arms(tmp_path, baseline, name))
    names = {"hybrid": name, "real": baseline, "": ""}
    assert odd == [row.changed(arm=names[row.arm], baseline=names[row.baseline]) for row in plain]


def test_a_study_names_its_metrics_and_the_first_one_is_declared(tmp_path: Path) -> None:
    given = two_arms(tmp_path, seeds=3)
    rows = rows_of(tmp_path, CONFIG.changed(metrics=("Cohen's kappa", "log loss")), given)
    ranks = {row.quantity: row.rank for row in rows if row.group == ALL_IMAGES}
    assert (ranks["Cohen's kappa"], ranks["log loss"], ranks["accuracy"]) == (1, 2, 0)
    compared = [row for row in rows if row.baseline]
    assert {row.quantity for row in compared} == {"Cohen's kappa", "log loss"}
    gain, loss = (one(rows, name, "hybrid", "real") for name in ("Cohen's kappa", "log loss"))
    assert (gain.role, gain.test, gain.better) == ("declared", "swap", "higher")
    assert (loss.role, loss.test, loss.better) == ("exploratory", "sign flip", "lower")
    assert gain.value == pytest.approx(1 - one(rows, "Cohen's kappa", "real").value)
    assert {row.group.name for row in compared if row.group.kind == "site"} == set("AB")
    assert one(rows, "Cohen's kappa", "real", group=ImageGroup("site", "A")).rank == 1
    decided = [np.argmax([row.probabilities for row in item.rows()], axis=1) for item in given["real"]]
    true = [PLANES.index(row.plane) for row in given["real"][0].rows()]
    kappas = [cohen_kappa_score(true, one_seed) for one_seed in decided]
    assert one(rows, "Cohen's kappa", "real").value == pytest.approx(np.mean(kappas))
    assert gain.p_seeds == pytest.approx(stats.ttest_1samp(1 - np.array(kappas), 0).pvalue)


def test_without_metrics_the_usual_ones_are_compared_and_shown(rows: list[Score]) -> None:
    shown = {row.rank: row.quantity for row in rows if row.rank}
    usual = ("accuracy", "balanced accuracy", "macro F1", AUC, "expected calibration error")
    assert shown == dict(enumerate(usual, start=1))
    assert {row.quantity for row in rows if row.baseline} == {"accuracy", "macro F1", AUC}
    assert "Cohen's kappa" not in {row.quantity for row in rows}


def test_unknown_and_repeated_metrics_are_refused() -> None:
    with pytest.raises(ValidationError, match=r"there is no 'kappa'; there are accuracy, .*, Cohen's kappa, "):
        ScoreConfig(metrics=("kappa",))
    with pytest.raises(ValidationError, match="accuracy, accuracy: duplicate name"):
        ScoreConfig(metrics=("accuracy", "accuracy"))


def test_further_comparisons_and_no_baseline(tmp_path: Path) -> None:
    given = {arm: predictions(tmp_path / arm, "guess", 1) for arm in ("real", "hybrid", "copies")}
    (tmp_path / "out").mkdir()
    asked = ComparisonsConfig(baseline="", further=(("copies", "hybrid"),))
    rows = rows_of(tmp_path, CONFIG.changed(comparisons=asked), given)
    assert {(row.arm, row.baseline, row.role) for row in rows if row.baseline} == {("copies", "hybrid", "exploratory")}
    rows = rows_of(tmp_path, CONFIG.changed(comparisons={"baseline": "copies"}), given)
    assert {(row.arm, row.baseline) for row in rows if row.baseline} == {("real", "copies"), ("hybrid", "copies")}


def test_comparisons_of_arms_that_are_not_there_or_cannot_be_paired_are_refused(tmp_path: Path) -> None:
    given = two_arms(tmp_path)
    with pytest.raises(ValueError, match=r"score.comparisons: no arm 'gone'; there are real, hybrid"):
        rows_of(tmp_path, CONFIG.changed(comparisons={"declared": ("gone", "real")}), given)
    with pytest.raises(ValueError, match=r"score.comparisons.baseline: no arm 'gone'"):
        rows_of(tmp_path, CONFIG.changed(comparisons={"baseline": "gone"}), given)
    with pytest.raises(ValueError, match="'hybrid' cannot be compared with 'real': the baseline must predict all"):
        rows_of(tmp_path, CONFIG, {**given, "hybrid": given["hybrid"][:1]})
    with pytest.raises(ValidationError, match="'real' is compared with itself"):
        ComparisonsConfig(declared=("real", "real"))


def test_classes_are_those_of_the_predictions(tmp_path: Path) -> None:
    (made,) = predictions(tmp_path, "guess", 1)
    LabelSet.derived(PLANES).changed(name="others").write(made.path)
    assert read_arm("a", [made]).answers.negative is None
    quantities = {row.quantity for row in rows_of_one(tmp_path, made)}
    assert not {name for name in quantities if "negative" in name}
    assert "accuracy" in quantities


def rows_of_one(folder: Path, made: Predictions) -> list[Score]:
    (folder / "out").mkdir()
    return rows_of(folder, CONFIG.changed(comparisons={}), {"a": [made]})


def test_arms_and_seeds_of_other_classes_do_not_meet(tmp_path: Path) -> None:
    first, second = predictions(tmp_path, "guess", 2)
    LabelSet.derived([*PLANES[:4], "neck"]).write(second.path)
    with pytest.raises(LabelSetError, match=r"arm 'a' and another training seed of it have different classes"):
        read_arm("a", [first, second])
    with pytest.raises(LabelSetError, match=r"arm 'a' and arm 'b' have different classes"):
        read_arms({"a": [first], "b": [second]})


def test_a_prior_of_an_unknown_class_is_refused(tmp_path: Path) -> None:
    (made,) = predictions(tmp_path, "guess", 1)
    with pytest.raises(ValueError, match=r"score.prior: 'head' is not a class of these predictions; classes are"):
        read_arm("a", [made]).prior(CONFIG.changed(prior={"head": 1.0}))
