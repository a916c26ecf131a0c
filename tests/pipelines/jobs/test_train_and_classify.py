"""Classifiers trained and used by command, function and study: equal bytes; scores at once; what is refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as Pil
from typer.testing import CliRunner, Result

import fulora as fu
from fulora.classification.config import ClassifierConfig
from fulora.classification.prediction_scores import score_predictions
from fulora.config import ConfigError
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.data.leak_check import OverlapError
from fulora.data.results import Predictions
from fulora.data.weights import ClassifierWeights
from fulora.engine import InProcess
from fulora.job_folder import OutputFolderError
from fulora.stage import MissingInputError
from fulora.workspace import Workspace
from pipelines.__main__ import app
from pipelines.jobs.classified import Classified
from pipelines.jobs.classify import ModelNameError
from pipelines.jobs.inputs import open_artifact
from pipelines.jobs.prediction_tables import write_predictions_csv
from pipelines.jobs.tested_images import UntestableImagesError
from pipelines.stages import classify as classify_stage
from pipelines.stages import train_classifier as train_stage

LABELS = LabelSet.derived(["liver", "spleen"])
SETTINGS = {"steps": 4, "batch_size": 4, "evaluate_every": 2, "checkpoint_every": 1, "warmup_steps": 0}
SETTINGS |= {"image_size_px": 32, "learning_rate": 1e-3}
NETWORK = {"architecture": "mobilenet_v2", "stem": "imagenet"}
TINY = {**SETTINGS, **NETWORK, "device": "cpu"}
WORDS = [f"{key}={value}" for key, value in TINY.items()]


def write(folder: Path, splits: dict[str, range], site: str = "A", labels: LabelSet = LABELS) -> ImageSet:
    """Two pictures of each patient and class: the classes differ in brightness."""
    about = {"file_name": "", "origin": "real", "source": "s", "site": site, "width": 0, "height": 0, "sha256": ""}
    rng = np.random.default_rng(ord(site))
    pictures = [
        Picture(
            Image.model_validate(
                about | {"image_id": f"{site}{p}-{n}-{k}", "plane": name, "split": split, "patient": f"{site}{p}"}
            ),
            (rng.integers(0, 60, (32, 32)) + 150 * n).astype(np.uint8),
        )
        for split, patients in splits.items()
        for p in patients
        for n, name in enumerate(labels.names)
        for k in range(2)
    ]
    folder.mkdir(parents=True)
    ImageSet.write(folder, pictures, labels=labels)
    return ImageSet(folder, "")


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classify")


@pytest.fixture(scope="module")
def planes(root: Path) -> Path:
    return write(root / "planes", {"train": range(4), "validation": range(4, 6), "test": range(6, 8)}).path


@pytest.fixture(scope="module")
def others(root: Path) -> Path:
    return write(root / "others", {"test": range(5)}, site="B").path


@pytest.fixture(scope="module")
def model(root: Path, planes: Path) -> Path:
    return fu.train_classifier(planes, root / "model", settings=TINY, work=root / "work").path


@pytest.fixture(scope="module")
def second(root: Path, planes: Path) -> Path:
    settings = {**TINY, "seed": 1}
    return fu.train_classifier(planes, root / "second", settings=settings, work=root / "work").path


@pytest.fixture(scope="module")
def result(root: Path, model: Path, others: Path) -> Classified:
    return fu.classify(model, others, root / "result", draws=100, work=root / "work")


def called(*words: object) -> Result:
    return CliRunner().invoke(app, [str(word) for word in words])


def worked(ended: Result) -> str:
    assert ended.exit_code == 0, (ended.output, ended.exception)
    return ended.stdout


def equal(one: Path, other: Path, *names: str) -> None:
    assert {name: (one / name).read_bytes() for name in names} == {name: (other / name).read_bytes() for name in names}


# --- the same bytes by command, function and study


def test_command_function_and_study_train_the_same_network(root: Path, planes: Path, model: Path) -> None:
    printed = worked(called("classify", "train", planes, "--out", root / "typed", "--work", root / "work", *WORDS))
    assert printed.splitlines()[-1] == str(root / "typed")
    images = open_artifact(planes, ImageSet, root / "work")
    study = Workspace(root / "study", InProcess()).run(
        train_stage.train_classifier, ClassifierConfig.model_validate(TINY), images=images
    )
    for folder in (root / "typed", study.path):
        equal(model, folder, "model.safetensors", "model.json", "label_set.json", "metrics.jsonl")
        equal(model, folder, "training_classes.json")


def test_command_function_and_study_predict_the_same(root: Path, model: Path, others: Path, result: Classified) -> None:
    words = ("classify", "predict", model, others, "--out", root / "typed p", "--work", root / "more", "--draws", 100)
    assert worked(called(*words)).splitlines()[-1] == str(root / "typed p" / "scores.csv")
    study = Workspace(root / "study", InProcess()).run(
        classify_stage.classify,
        open_artifact(others, ImageSet, root / "work"),
        classifier=open_artifact(model, ClassifierWeights, root / "work"),
    )
    for folder in (root / "typed p", study.path):
        equal(result.path, folder, "table.jsonl", "facts.json", "label_set.json")
    equal(result.path, root / "typed p", "predictions.csv", "scores.csv", "confusion.png")
    write_predictions_csv(root / "study" / "predictions.csv", study)
    equal(result.path, root / "study", "predictions.csv")
    facts = Predictions(study.path, "").facts()
    assert (facts.protocol, facts.training_prior) == ("transfer", (0.5, 0.5))


# --- results


def test_a_training_says_which_step_was_kept(model: Path, root: Path, planes: Path) -> None:
    trained = fu.train_classifier(planes, model, settings=TINY, work=root / "work")
    log = trained.log
    points = {int(row["step"]): row["validation_macro_f1"] for row in log if "validation_macro_f1" in row}
    assert sorted(points) == [2, 4]
    kept = max(points, key=lambda step: (points[step], step))
    assert trained.table.notes[-1].startswith(f"the weights after step {kept} are kept: validation_macro_f1 was ")
    assert {row["logged"] for row in trained.table.rows} == {"loss", "validation_loss", "validation_macro_f1"}
    assert len(trained.to_pandas()) == len(log)
    assert trained.figure().width > 300
    last = fu.train_classifier(
        planes, root / "last", settings={**TINY, "select": "last", "steps": 2}, work=root / "work"
    )
    assert last.table.notes == ("the last step's weights are kept: no validation selected others",)


def test_scores_are_those_of_the_flat_file(result: Classified) -> None:
    again = score_predictions(result.path / "predictions.csv", draws=100)
    values = {row.quantity: row.interval.value for row in again.scores if row.group.kind == "all"}
    intervals = {row.quantity: (row.interval.low, row.interval.high) for row in again.scores if row.group.kind == "all"}
    rows = {row["score"]: row for row in result.table.rows}
    assert {"accuracy", "balanced accuracy", "macro F1", "macro one-vs-rest AUC"} <= set(rows)
    for name, row in rows.items():
        assert row["value"] == values[str(name)]
        assert (row["low"], row["high"]) == intervals[str(name)]
        assert (row["images"], row["patients"]) == (20, 5)


def test_a_result_shows_itself(result: Classified) -> None:
    assert [table.title for table in result.tables] == [f"Scores: {result.path}", "By class"]
    assert [row["class"] for row in result.tables[1].rows] == ["liver", "spleen"]
    frame = result.to_pandas()
    assert len(frame) == 20
    assert np.allclose(frame[["probability_liver", "probability_spleen"]].sum(axis=1), 1)
    assert set(frame["true"]) == {"liver", "spleen"}
    assert result.figure().width > 100
    assert "<table>" in result._repr_html_()


def test_several_models_are_compared_on_the_same_images(root: Path, model: Path, second: Path, others: Path) -> None:
    out = root / "compared"
    words = ("classify", "predict", model, others, "--also", second, "--out", out, "--draws", 100)
    facts = json.loads(worked(called(*words, "--work", root / "work", "--json", "-", "--quiet")))
    compared = facts["tables"][-1]
    assert compared["title"] == "Models compared"
    assert {(row["model"], row["minus"]) for row in compared["rows"]} == {("second", "model")}
    accuracy = next(row for row in compared["rows"] if row["score"] == "accuracy")
    by_model = {row["model"]: row["value"] for row in facts["tables"][0]["rows"] if row["score"] == "accuracy"}
    assert accuracy["difference"] == pytest.approx(by_model["second"] - by_model["model"])
    for name in ("model", "second"):
        assert {"predictions.csv", "confusion.png", "table.jsonl"} <= {path.name for path in (out / name).iterdir()}
    assert (out / "scores.csv").is_file()


def test_pictures_without_labels_give_the_flat_file_alone(root: Path, model: Path, others: Path) -> None:
    (pictures := root / "pictures").mkdir()
    images = ImageSet(others, "")
    for number, row in enumerate(images.rows()[:3]):
        Pil.fromarray(images.pixels(row)).save(pictures / f"{number}.png")
    result = fu.classify(model, pictures, root / "unlabelled", work=root / "work")
    assert [path.name for path in result.files] == ["predictions.csv"]
    header, *lines = (result.path / "predictions.csv").read_text().splitlines()
    assert "true" not in header.split(",")
    assert len(lines) == 3
    assert sum(int(str(row["images"])) for row in result.table.rows) == 3
    assert "predictions only, no scores" in result.table.notes[0]
    with pytest.raises(FileNotFoundError, match=r"confusion\.png"):
        result.figure()


# --- planned, interrupted, finished


def test_a_dry_run_counts_and_writes_nothing(root: Path, planes: Path) -> None:
    words = ("classify", "train", planes, "--out", root / "planned", "--work", root / "work", *WORDS, "--dry-run")
    facts = json.loads(worked(called(*words, "--json", "-")))
    assert facts["path"] is None
    images, plan = facts["tables"]
    assert images["rows"][-1] == {"class": "all", "train, real": 16, "validation, real": 8, "test, real": 8}
    values = {row[""]: row["planned"] for row in plan["rows"]}
    assert (values["parameters"], values["steps"], values["images shown"]) == (2_226_434, 4, 16)
    assert values["selection"].startswith("validation_macro_f1 on 8 validation images, every 2 steps")
    assert values["device"] == "cpu"
    assert not (root / "planned").exists()
    wrong = called("classify", "train", planes, "--dry-run", "architecture=timm/no_such", "stem=imagenet")
    assert "timm has no network 'no_such'" in str(wrong.exception)


def test_a_dry_run_of_predictions_checks_for_leaks(root: Path, model: Path, others: Path, planes: Path) -> None:
    words = ("classify", "predict", model, others, "--out", root / "planned", "--work", root / "work", "--dry-run")
    facts = json.loads(worked(called(*words, "--json", "-")))
    values = {row[""]: row["planned"] for row in facts["tables"][1]["rows"]}
    assert (values["classifiers"], values["images"], values["patients"], values["sites"]) == ("model", 20, 5, 1)
    assert values["scores"] == "with intervals of 2000 draws of patients"
    assert not (root / "planned").exists()
    leaked = called("classify", "predict", model, planes, "--split", "train", "--work", root / "work", "--dry-run")
    assert isinstance(leaked.exception, OverlapError)


def test_weights_of_unknown_origin_are_used_with_a_note(root: Path, model: Path, others: Path) -> None:
    (unknown := root / "unknown").mkdir()
    for name in ("model.safetensors", "model.json", "label_set.json", "training_classes.json"):
        shutil.copy(model / name, unknown / name)
    result = fu.classify(unknown, others, root / "by unknown", draws=100, work=root / "work")
    assert "classifier unknown: its training data are unknown" in result.table.notes[-1]


def test_an_interrupted_training_continues_exactly(
    root: Path, planes: Path, model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fulora.classification import train

    done, whole = 0, train.step

    def interrupted(*arguments: object, **values: object) -> object:
        nonlocal done
        done += 1
        if done == 3:
            raise KeyboardInterrupt
        return whole(*arguments, **values)  # type: ignore[arg-type]

    out = root / "stopped"
    with monkeypatch.context() as patched:
        patched.setattr(train, "step", interrupted)
        with pytest.raises(KeyboardInterrupt):
            fu.train_classifier(planes, out, settings=TINY, work=root / "work")
    assert not out.exists()
    monkeypatch.setattr(train, "step", interrupted)
    fu.train_classifier(planes, out, settings=TINY, work=root / "work")
    assert done == 5  # steps 1 and 2, the third that was stopped, and then 3 and 4 alone
    equal(model, out, "model.safetensors", "metrics.jsonl")


def test_a_folder_of_other_settings_is_refused(root: Path, planes: Path, model: Path, result: Classified) -> None:
    with pytest.raises(
        OutputFolderError, match=r"model: holds the finished output of train_classifier .*seed is 0, not"
    ):
        fu.train_classifier(planes, model, settings={**TINY, "seed": 7}, work=root / "work")
    with pytest.raises(OutputFolderError, match="holds the finished output of write_classified for other"):
        fu.classify(model, planes, result.path, draws=100, split="test", work=root / "work")


# --- folders that are curated, configs, and what is refused


def test_a_folder_of_classes_is_curated_with_patients_for_validation(root: Path, planes: Path) -> None:
    images = ImageSet(planes, "")
    for row in images.rows():
        path = root / "raw" / row.plane / f"{row.patient}_{row.image_id}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(images.pixels(row)).save(path)
    words = ("classify", "train", root / "raw", "--out", root / "from raw", "--work", root / "work", "--dry-run")
    pattern = r"images.patient_pattern='(A\d)_'"
    facts = json.loads(worked(called(*words, *WORDS, pattern, "images.deidentify=nothing", "--json", "-", "--quiet")))
    parts = facts["tables"][0]["rows"][-1]
    assert set(parts) == {"class", "train, real", "validation, real"}
    assert sum(count for name, count in parts.items() if name != "class") == 32


def test_settings_come_from_a_config_and_all_errors_at_once(root: Path, planes: Path) -> None:
    words = ("classify", "train", planes, "--out", root / "no", "--work", root / "work", "--dry-run", "--json", "-")
    facts = json.loads(worked(called(*words, "--config", "smoke", "stem=imagenet")))
    values = {row[""]: row["planned"] for row in facts["tables"][1]["rows"]}
    assert (values["network"], values["images a step"]) == ("mobilenet_v2, 32 px, weights=none", 4)
    with pytest.raises(ConfigError, match=r"(?s)batch_size: .*stepps: unknown key; did you mean 'steps'"):
        fu.train_classifier(planes, root / "no", settings={"stepps": 3, "batch_size": 1})
    with pytest.raises(ConfigError, match="pretrain_demo: it has no `classifier:` part"):
        fu.train_classifier(planes, root / "no", config="pretrain_demo")
    with pytest.raises(MissingInputError, match=r"gone\.pt: not found\. --start names the file of weights"):
        fu.train_classifier(
            planes, root / "no", settings={**TINY, "weights": "file"}, start=root / "gone.pt", work=root / "work"
        )
    wrong = called("classify", "predict", planes, planes, "steps=3", "--out", root / "no")
    assert "steps: settings are those of the curation here, such as images.role=test" in str(wrong.exception)


def test_what_a_classifier_learned_from_is_no_test(root: Path, planes: Path, model: Path) -> None:
    with pytest.raises(
        OverlapError, match="classifier model: 16 images and 4 patients of the test set were trained on"
    ):
        fu.classify(model, planes, root / "no", split="train", work=root / "work")
    with pytest.raises(OverlapError, match="8 images and 2 patients of the test set were used for model selection"):
        fu.classify(model, planes, root / "no", split="validation", work=root / "work")
    assert not (root / "no").exists()


def test_models_and_images_that_do_not_fit_are_refused(root: Path, model: Path, others: Path) -> None:
    with pytest.raises(ModelNameError, match="model: two classifiers have this name"):
        fu.classify(model, others, root / "no", also=[model], work=root / "work")
    labels = LabelSet.derived(["hand", "foot"])
    foreign = write(root / "foreign", {"train": range(2), "test": range(2, 4)}, site="C", labels=labels).path
    with pytest.raises(LabelSetError, match=r"foot \(4\), hand \(4\): images of classes that are not predicted"):
        fu.classify(model, foreign, root / "no", work=root / "work")
    limbs = fu.train_classifier(foreign, root / "limbs", settings={**TINY, "steps": 1}, work=root / "work")
    assert limbs.table.notes == ("the last step's weights are kept: no validation selected others",)
    with pytest.raises(LabelSetError, match="the classifier model and the classifier limbs have different classes"):
        fu.classify(model, others, root / "no", also=[limbs], work=root / "work")
    with pytest.raises(UntestableImagesError, match="no images in the split validation"):
        fu.classify(model, others, root / "no", split="validation", work=root / "work")
    with pytest.raises(FileNotFoundError, match="gone: no such folder; a folder of ClassifierWeights is needed"):
        fu.classify(root / "gone", others, root / "no", work=root / "work")


# --- real images


@pytest.mark.slow
@pytest.mark.real_data
def test_spanish_planes_are_learned_and_african_ones_predicted(data_root: Path, tmp_path: Path) -> None:
    small = {"image_size_px": 64, "fit": "letterbox", "deidentify": "nothing"}
    trained = fu.train_classifier(
        data_root / "fetal_planes_lora", tmp_path / "model", settings=TINY, curation=small, work=tmp_path / "work"
    )
    result = fu.classify(
        trained, data_root / "african", tmp_path / "result", curation=small, draws=100, work=tmp_path / "work"
    )
    accuracy = next(row for row in result.table.rows if row["score"] == "accuracy")
    assert (accuracy["images"], accuracy["patients"]) == (217, 56)
    assert result.table.notes[-2:] == (
        "no image shows other; scores are averaged over the classes that images show",
        "61 patients are 56 in intervals and tests: some have identical pictures",
    )
    frame = result.to_pandas()
    assert len(frame) == 217
    assert set(frame["site"]) == {"Algeria", "Egypt", "Ghana", "Malawi", "Uganda"}
