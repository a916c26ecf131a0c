"""`fu.zero_shot` and `fulora zero-shot`: the study's predictions byte for byte, open_clip's answers, comparisons."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import open_clip
import pandas
import pytest
import torch
from PIL import Image as Pil
from typer.testing import CliRunner, Result

import fulora as fu
from fulora.clip.config import ClipPretrainConfig, ProbeConfig, ZeroShotConfig
from fulora.clip.model import build_clip, clip_config, save_clip
from fulora.config import ConfigError
from fulora.data.column_types import Split
from fulora.data.embeddings import Embeddings
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError
from fulora.data.leak_check import OverlapError
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.engine import InProcess
from fulora.integrity import DamagedArtifactError
from fulora.job_folder import OutputFolderError
from fulora.metrics.image_groups import ALL_IMAGES
from fulora.report.figure_canvas import FigureError
from fulora.workspace import Workspace
from pipelines.__main__ import app
from pipelines.backbone_names import ASSETS
from pipelines.clip_arms import PromptedClip, compare_clips
from pipelines.jobs.inputs import open_artifact
from pipelines.jobs.prediction_tables import write_predictions_csv
from pipelines.jobs.zero_shot_plan import TrainingSetError
from pipelines.jobs.zero_shot_result import ZeroShot

TINY = ClipPretrainConfig(image_size_px=32, width=2, blocks=(1, 1, 1, 1), embed_dim=16, text_width=16, text_layers=1)
LABELS = LabelSet.model_validate(
    {"name": "organs", "classes": [{"name": "liver", "prompts": ["a liver", "a scan of a liver"]}, "spleen", "kidney"]}
)
OWN = {"liver": "the liver of a fetus", "spleen": ["a spleen", "a small spleen"], "kidney": "two kidneys"}
MORE = {"spleen": "a spleen", "heart": "a heart", "liver": "a liver", "kidney": "a kidney"}
INLINE = "mine: liver=the liver of a fetus; spleen=a spleen; spleen=a small spleen; kidney=two kidneys"
TEXTS = {name: [text] if isinstance(text, str) else text for name, text in OWN.items()}
PATIENTS: dict[Split, int] = {"train": 4, "validation": 2, "test": 4}
FILES = ("table.jsonl", "facts.json", "label_set.json")
DRAWS = 100


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("zero")


@pytest.fixture(scope="module")
def images(root: Path) -> Path:
    """Square pictures, as open_clip resizes those as fulora does, of three classes, two sites, three splits."""
    rng = np.random.default_rng(0)
    row = {"file_name": "", "origin": "real", "source": "s", "width": 0, "height": 0, "sha256": ""}
    pictures = [
        Picture(
            Image.model_validate(
                row
                | {"image_id": f"{split}{patient}{plane}", "plane": plane, "split": split}
                | {"patient": f"{split}{patient}", "site": "AB"[patient % 2]}
            ),
            np.clip(rng.normal(60 * number, 40, (48, 48)), 0, 255).astype(np.uint8),
        )
        for split, count in PATIENTS.items()
        for patient in range(count)
        for number, plane in enumerate(LABELS.names)
    ]
    ImageSet.write(root / "images", pictures, labels=LABELS)
    return root / "images"


@pytest.fixture(scope="module")
def tiny(root: Path) -> Path:
    """A CLIP with random weights in open_clip's layout."""
    save_clip(build_clip(TINY), clip_config(TINY), root / "tiny")
    return root / "tiny"


@pytest.fixture(scope="module")
def work(root: Path) -> Path:
    return root / "work"


@pytest.fixture(scope="module")
def compared(root: Path, images: Path, tiny: Path, work: Path) -> ZeroShot:
    """Two CLIPs by two sets of prompts."""
    clips: list[str | Path] = ["demo", tiny]
    return fu.zero_shot(images, out=root / "two", clip=clips, prompts=["labels", INLINE], draws=DRAWS, work=work)


@pytest.fixture
def refused(images: Path, work: Path, tmp_path: Path) -> Callable[..., None]:
    """Runs the job on the images with further arguments into a new folder, which must not appear."""

    def run(error: type[Exception], match: str, **values: Any) -> None:
        with pytest.raises(error, match=match):
            fu.zero_shot(values.pop("images", images), out=tmp_path / "out", work=work, **values)
        assert not (tmp_path / "out").exists()

    return run


def command(*arguments: str | Path, expected: int = 0) -> Result:
    ended = CliRunner().invoke(app, ["zero-shot", *map(str, arguments)])
    assert ended.exit_code == expected, ended.exception
    return ended


def opened(images: Path, work: Path) -> ImageSet:
    return open_artifact(images, ImageSet, work)


def test_command_python_and_study_predict_the_same_bytes(
    compared: ZeroShot, root: Path, images: Path, work: Path
) -> None:
    own = root / "own.yaml"
    own.write_text(json.dumps({"name": "mine", "classes": TEXTS}))
    place = Workspace(root / "study", InProcess())
    clip = place.read(ASSETS / "clip")
    to = ("--out", root / "typed", "--work", root / "typed_work")
    command(images, "--prompts", "labels", "--prompts", own, "--draws", DRAWS, *to)
    for name, config in (("labels", ZeroShotConfig()), ("mine", ZeroShotConfig.model_validate({"prompts": str(own)}))):
        base = PromptedClip(clip, config, opened(images, work))
        (study,) = compare_clips({}, {}, (0,), base, place).predictions["prompt"]
        for file in FILES:
            expected = (study.path / file).read_bytes()
            assert (compared.path / "predictions" / f"demo, {name}" / file).read_bytes() == expected
            assert (root / "typed" / "predictions" / f"demo, {name}" / file).read_bytes() == expected
        flat = [folder / "predictions" / f"demo, {name}.csv" for folder in (root / "typed", compared.path)]
        write_predictions_csv(root / "study.csv", study)
        assert {path.read_bytes() for path in flat} == {(root / "study.csv").read_bytes()}


@pytest.mark.parametrize("name", ["clip", "tiny"])
def test_the_answers_are_those_of_a_plain_open_clip_loop(
    compared: ZeroShot, root: Path, images: Path, work: Path, name: str
) -> None:
    folder = ASSETS / "clip" if name == "clip" else root / "tiny"
    model, preprocess = open_clip.create_model_from_pretrained(f"local-dir:{folder}")
    model.eval()
    tokenizer = open_clip.get_tokenizer(f"local-dir:{folder}")
    rows = opened(images, work).rows("test")
    probabilities = []
    with torch.no_grad():
        classes = [model.encode_text(tokenizer(one), normalize=True).mean(0) for one in TEXTS.values()]
        weights = torch.nn.functional.normalize(torch.stack(classes), dim=1)
        for row in rows:
            seen = preprocess(Pil.open(images / "test" / row.file_name).convert("RGB"))[None]
            logits = model.logit_scale.exp() * model.encode_image(seen, normalize=True) @ weights.T
            probabilities.append(logits.softmax(dim=1)[0].numpy())
    table = compared.to_pandas()
    mine = table[table["model"] == f"{'demo' if name == 'clip' else 'tiny'}, mine"]
    found = mine[[f"probability_{one}" for one in OWN]].to_numpy()
    assert list(mine["image_id"]) == [row.image_id for row in rows]
    assert np.abs(found - np.stack(probabilities)).max() < 1e-4
    assert list(mine["predicted"]) == [list(OWN)[one] for one in np.argmax(probabilities, axis=1)]


def test_every_model_is_scored_and_compared_with_every_other(compared: ZeroShot) -> None:
    names = ["demo, labels", "demo, mine", "tiny, labels", "tiny, mine"]
    table = compared.table
    assert [row["model"] for row in table.rows] == names
    assert all((row["images"], row["patients"]) == (12, 4) for row in table.rows)
    assert table.columns == ("model", "images", "patients", "accuracy", "balanced accuracy", "macro F1", "AUC")
    of_accuracy = [row for row in compared.comparisons.rows if row["score"] == "accuracy"]
    assert {(row["minus"], row["model"]) for row in of_accuracy} == {
        (first, second) for number, first in enumerate(names) for second in names[number + 1 :]
    }
    values = {score.arm: score.value for score in compared.scores if _is_accuracy(score) and not score.baseline}
    flat = compared.to_pandas()
    for name in names:
        mine = flat[flat["model"] == name]
        assert values[name] == pytest.approx((mine["true"] == mine["predicted"]).mean())
    for row in of_accuracy:
        assert row["difference"] == pytest.approx(values[str(row["model"])] - values[str(row["minus"])])
        assert row["p"] is None or float(str(row["p by Holm"])) >= float(str(row["p"]))


def _is_accuracy(score: Any) -> bool:
    return score.quantity == "accuracy" and score.group == ALL_IMAGES and score.rule == "own decision"


def test_the_folder_has_tables_embeddings_and_pictures(compared: ZeroShot, images: Path, work: Path) -> None:
    assert all(path.exists() for path in compared.files())
    flat = pandas.read_csv(compared.path / "predictions" / "tiny, mine.csv")
    assert list(flat.columns[:3]) == ["image_id", "patient", "site"]
    assert (len(flat), set(flat["true"]), set(flat["site"])) == (12, set(LABELS.names), {"A", "B"})
    assert flat[[f"probability_{name}" for name in LABELS.names]].sum(axis=1).to_numpy() == pytest.approx(1)
    scores = pandas.read_csv(compared.path / "scores.csv")
    wanted = {"accuracy", "balanced accuracy", "macro F1", "log loss", "expected calibration error"}
    assert wanted <= set(scores["quantity"])
    assert len(pandas.read_csv(compared.path / "comparisons.csv")) == 18
    rows = opened(images, work).rows()
    vectors = Embeddings(compared.path / "embeddings" / "tiny", "").of(rows)
    assert vectors.shape == (len(rows), TINY.embed_dim)
    assert compared.figure().size[0] > 100
    assert (compared.path / "predictions" / "demo, labels.png").is_file()
    assert "demo, mine" in compared._repr_html_()
    assert {row["class"] for row in compared.by_class.rows} == set(LABELS.names)
    summary = compared.summary
    assert summary["images_by_class"] == dict.fromkeys(LABELS.names, 4)
    assert summary["prompts"]["mine"]["spleen"] == ["a spleen", "a small spleen"]


def test_embeddings_are_computed_once(compared: ZeroShot, work: Path) -> None:
    assert len(list(work.glob("embed_images-*"))) == 2
    assert len(list(work.glob("zero_shot-*"))) >= 4


def test_a_finished_folder_is_returned_and_another_one_refused(
    compared: ZeroShot, root: Path, images: Path, tiny: Path, work: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = (compared.path / "summary.json").stat().st_mtime_ns
    clips: list[str | Path] = ["demo", tiny]
    again = fu.zero_shot(images, out=compared.path, clip=clips, prompts=["labels", INLINE], draws=DRAWS, work=work)
    assert again == compared
    assert (compared.path / "summary.json").stat().st_mtime_ns == before
    assert "is finished already" in capsys.readouterr().err.replace("\n", " ")
    with pytest.raises(OutputFolderError, match=r"holds the predictions of other images.*tiny, mine.*new folder"):
        fu.zero_shot(images, out=compared.path, prompts=OWN, work=work)
    with pytest.raises(OutputFolderError, match="holds files of something else; name a new folder"):
        fu.zero_shot(images, out=images, work=work)


def test_a_finished_folder_that_was_changed_is_refused(root: Path, images: Path, tiny: Path, work: Path) -> None:
    result = fu.zero_shot(images, out=root / "damaged", clip=tiny, draws=DRAWS, work=work)
    table = result.path / "predictions" / "tiny, labels" / "table.jsonl"
    table.write_text(table.read_text().replace("liver", "spleen"))
    with pytest.raises(DamagedArtifactError, match=r"table\.jsonl"):
        fu.zero_shot(images, out=result.path, clip=tiny, draws=DRAWS, work=work)


def test_heads_are_further_rows(compared: ZeroShot, root: Path, images: Path, tiny: Path, work: Path) -> None:
    heads = ("linear", "tip")
    result = fu.zero_shot(images, out=root / "heads", clip=tiny, heads=heads, draws=DRAWS, work=work)
    assert [row["model"] for row in result.table.rows] == [
        *("tiny, labels", "tiny, linear probe", "tiny, labels, Tip-Adapter"),
    ]
    place = Workspace(work, InProcess())
    base = PromptedClip(place.read(tiny), ZeroShotConfig(), opened(images, work))
    study = base.probe(ProbeConfig(), base.tested_on, base.tested_on, place)
    folder = result.path / "predictions" / "tiny, linear probe"
    assert (study.path / FILES[0]).read_bytes() == (folder / FILES[0]).read_bytes()
    few = fu.zero_shot(images, out=root / "few", clip=tiny, few_shot=(1, 2), prompts=OWN, draws=DRAWS, work=work)
    assert [row["model"] for row in few.table.rows] == [
        *("tiny, prompts", "tiny, prompts, Tip-Adapter, 1 a class", "tiny, prompts, Tip-Adapter, 2 a class"),
    ]
    assert {row["protocol"] for row in few.summary["predictions"].values()} == {"prompt", "fewshot"}
    assert len(list(work.glob("embed_images-*"))) == 2


def test_classes_are_those_of_the_prompts(root: Path, images: Path, work: Path, refused: Callable[..., None]) -> None:
    result = fu.zero_shot(images, out=root / "more", prompts=MORE, draws=DRAWS, work=work)
    assert result.predictions["demo, prompts"].label_set().names == tuple(MORE)
    assert "no image shows heart" in result.table.notes[-1]
    less = {"spleen": "a spleen", "liver": "a liver"}
    match = r"kidney \(4\): images of classes.*predicted are spleen, liver.*--leave-out 'kidney'"
    refused(LabelSetError, match, prompts=less)
    refused(LabelSetError, "leave out 'lung': no image shows it; images show liver, spleen, kidney", leave_out=["lung"])
    left = fu.zero_shot(
        images, out=root / "less", prompts=less, leave_out=["kidney"], heads=["linear"], draws=DRAWS, work=work
    )
    assert [(row["images"], row["patients"]) for row in left.table.rows] == [(8, 4), (8, 4)]
    assert "left out: images of kidney" in left.table.notes


def test_without_labels_there_are_predictions_and_no_scores(
    root: Path, images: Path, work: Path, refused: Callable[..., None]
) -> None:
    (root / "pictures").mkdir()
    for number, path in enumerate(sorted((images / "test" / "images").iterdir())):
        (root / "pictures" / f"{number}.png").write_bytes(path.read_bytes())
    refused(ValueError, "the images have no labels, and so no classes.*give prompts", images=root / "pictures")
    ended = command(
        *(root / "pictures", "--prompts", "liver=a liver; spleen=a spleen", "--out", root / "plain", "--work", work)
    )
    assert "pictures without class folders or a list" in ended.stderr.replace("\n", " ")
    result = ZeroShot(root / "plain")
    (row,) = result.table.rows
    assert row["images"] == 12
    assert int(str(row["as liver"])) + int(str(row["as spleen"])) == 12
    assert not any((root / "plain" / name).exists() for name in ("scores.csv", "comparisons.csv", "figure.png"))
    assert "true" not in pandas.read_csv(root / "plain" / "predictions" / "demo, prompts.csv")
    assert result.to_pandas()["true"].isna().all()
    with pytest.raises(FigureError, match="the images have no labels, so there is no accuracy to draw"):
        result.figure()


def test_a_clip_that_learned_from_a_tested_patient_is_refused(
    tiny: Path, tmp_path: Path, refused: Callable[..., None], work: Path
) -> None:
    leaky = tmp_path / "leaky"
    save_clip(build_clip(TINY), clip_config(TINY), leaky)
    learned = ProvenanceEntry(name="CLIP leaky", images=1, patients=("s/A/test0",))
    Provenance(entries=(learned,)).write(leaky)
    embedded = len(list(work.glob("embed_images-*")))
    refused(OverlapError, "CLIP leaky: 0 images and 1 patients of the test set", clip=leaky)
    assert len(list(work.glob("embed_images-*"))) == embedded
    refused(OverlapError, "the head: .* of the test set", heads=["linear"], split="train")


def test_a_tuned_clip_is_adapted_and_predicts_its_own_classes(
    root: Path, images: Path, work: Path, refused: Callable[..., None]
) -> None:
    save_clip(build_clip(TINY), clip_config(TINY), root / "tuned")
    LABELS.write(root / "tuned")
    message = "(?s)the prompts and the tuned CLIP tuned have different classes.*Give prompts for all classes"
    refused(LabelSetError, message, clip=root / "tuned", prompts=MORE)
    result = fu.zero_shot(images, out=root / "adapted", clip=root / "tuned", prompts=OWN, draws=DRAWS, work=work)
    assert result.summary["predictions"]["tuned, prompts"]["protocol"] == "adapted"
    assert "CLIP tuned: its training data are unknown, and so is" in " ".join(result.table.notes)


def test_a_device_that_is_missing_is_refused(refused: Callable[..., None], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    refused(ValueError, "device=cuda: torch .* sees no GPU", device="cuda")


def test_heads_need_a_training_set(tmp_path: Path, images: Path, refused: Callable[..., None]) -> None:
    refused(TrainingSetError, "there is no head 'svm'; there are linear, tip", heads=["svm"])
    refused(TrainingSetError, "few-shot 0: a number of training images a class is 1 or more", few_shot=[0])
    refused(TrainingSetError, "a training set, and nothing to fit to it: add --probe linear", train=images)
    refused(TrainingSetError, "does not exist; --train takes", heads=["tip"], train=tmp_path / "none")
    (tmp_path / "held_out").mkdir()
    source = ImageSet(images, "")
    ImageSet.write(tmp_path / "held_out", source.pictures("test"), labels=LABELS)
    refused(TrainingSetError, "has no training images for a probe", images=tmp_path / "held_out", heads=["tip"])
    refused(ConfigError, "draws is 99; at least 100 are needed", draws=99)
    refused(TrainingSetError, "is no image set; --train takes", heads=["tip"], train=tmp_path)


def test_a_plan_computes_nothing(images: Path, tiny: Path, tmp_path: Path) -> None:
    place = ("--out", tmp_path / "out", "--work", tmp_path / "work")
    ended = command(images, "--clip", f"random={tiny}", "--clip", "demo", "--dry-run", *place)
    assert "12 images of 4 patients by 2 models" in ended.stdout
    assert "random, labels; demo, labels" in ended.stdout.replace("\n", " ")
    assert ended.stdout.count("missing") == 5
    assert not (tmp_path / "out").exists()
    assert not list((tmp_path / "work").glob("*-*"))


def test_the_command_prints_tables_then_files_or_json(
    compared: ZeroShot, root: Path, images: Path, tiny: Path, work: Path
) -> None:
    same = (images, "--clip", "demo", "--clip", tiny, "--prompts", "labels", "--prompts", INLINE, "--draws", DRAWS)
    same = (*same, "--out", compared.path, "--work", work)
    printed = command(*same).stdout
    assert printed.index("12 images of 4 patients") < printed.index("Differences") < printed.index("summary.json")
    facts = json.loads(command(*same, "--json", "-", "--quiet").stdout)
    assert facts["images"] == 12
    assert {score["arm"] for score in facts["scores"]} == set(facts["predictions"])
    assert len(facts["comparisons"]) == 18
    ended = command(images, "rank=8", expected=1)
    assert "rank: settings are those of the curation here, such as images.role=test" in str(ended.exception)
