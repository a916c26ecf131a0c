"""Classifying any classes: two to fifty with free names, with and without a negative one; others are refused."""

from pathlib import Path

import numpy as np
import pytest
from image_rows import image_row

from fulora.classification.config import ClassifierConfig
from fulora.clip.config import ClipPretrainConfig, ForgettingConfig, ProbeConfig, TuneClipConfig, ZeroShotConfig
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.provenance import EarlierVersionError
from fulora.data.results import Predictions
from fulora.data.weights import ClassifierWeights, ClipWeights
from pipelines.backbone_names import ASSETS
from pipelines.stages.classify import classify
from pipelines.stages.embed_images import embed_images
from pipelines.stages.forgetting import forgetting
from pipelines.stages.pretrain_clip import pretrain_clip
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.train_classifier import train_classifier
from pipelines.stages.tune_clip import tune_clip
from pipelines.stages.zero_shot import zero_shot

CLIP = ClipWeights(ASSETS / "clip", "c")
TINY = ClassifierConfig(
    architecture="mobilenet_v2", stem="imagenet", image_size_px=32, steps=2, batch_size=4, warmup_steps=0, device="cpu"
)
TUNE = TuneClipConfig(steps=1, batch_size=4, device="cpu")
SETS = {
    "binary": LabelSet.model_validate({"name": "cyst", "classes": ["zyst, left", {"name": "none", "negative": True}]}),
    "six": label_set("fetal_planes_db"),
    "fifty": LabelSet.derived(f"View {n} (übersicht)" for n in range(50)),
}
SPLITS = {"train": [1, 2], "validation": [3], "test": [4, 5]}


def write(folder: Path, labels: LabelSet, splits: dict[str, list[int]], site: str = "A") -> ImageSet:
    """A picture of each class and patient."""
    rng = np.random.default_rng(ord(site))
    pictures = [
        Picture(
            image_row(f"{site}{p}-{n}", plane=name, split=split, site=site, patient=f"{site}{p}"),
            rng.integers(0, 256, (32, 32)).astype(np.uint8),
        )
        for split, patients in splits.items()
        for p in patients
        for n, name in enumerate(labels.names)
    ]
    ImageSet.write(made(folder), pictures, labels=labels)
    return ImageSet(folder, folder.name)


def made(folder: Path) -> Path:
    folder.mkdir(parents=True)
    return folder


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("classes")


@pytest.fixture(scope="module")
def images(folder: Path) -> dict[str, ImageSet]:
    return {name: write(folder / name, labels, SPLITS) for name, labels in SETS.items()}


@pytest.fixture(scope="module")
def embedded(folder: Path, images: dict[str, ImageSet]) -> dict[str, Embeddings]:
    return {
        name: embed_images.function(made(folder / f"embedded {name}"), found, CLIP) for name, found in images.items()
    }


def checked(found: Predictions, images: ImageSet, labels: LabelSet) -> Predictions:
    """Predictions of every test image, one probability a class."""
    rows = found.rows()
    assert found.label_set() == labels
    assert [(row.image_id, row.plane) for row in rows] == [(row.image_id, row.plane) for row in images.rows("test")]
    values = np.array([row.probabilities for row in rows])
    assert values.shape == (2 * len(labels.names), len(labels.names))
    assert np.allclose(values.sum(axis=1), 1)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_classifier_has_an_output_for_each_class(name: str, tmp_path: Path, images: dict[str, ImageSet]) -> None:
    here, labels = images[name], SETS[name]
    for balanced in (True, False):
        model = train_classifier.function(made(tmp_path / f"model {balanced}"), TINY.changed(balanced=balanced), here)
        found = checked(classify.function(made(tmp_path / f"found {balanced}"), here, model), here, labels)
        assert np.allclose(found.facts().training_prior or (), 1 / len(labels.names))
        assert found.facts().protocol == "fewshot"


def test_the_prior_is_in_the_order_of_the_label_set(tmp_path: Path, images: dict[str, ImageSet]) -> None:
    here = images["binary"]
    few = write(tmp_path / "few", SETS["binary"], {"train": [8, 9]}, site="B")
    rows = [row for row in few.rows() if row.plane == "none" or row.patient == "B8"]
    ImageSet.write(made(tmp_path / "one"), [Picture(row, few.pixels(row)) for row in rows], labels=SETS["binary"])
    for balanced, prior in ((False, (1 / 3, 2 / 3)), (True, (0.5, 0.5))):
        config, out = TINY.changed(balanced=balanced), made(tmp_path / f"model {balanced}")
        model = train_classifier.function(out, config, ImageSet(tmp_path / "one", ""))
        facts = classify.function(made(tmp_path / f"found {balanced}"), here, model).facts()
        assert facts.training_prior == prior
        assert facts.protocol == "transfer"


def test_a_classifier_that_does_not_count_its_images_is_refused(tmp_path: Path, images: dict[str, ImageSet]) -> None:
    model = train_classifier.function(made(tmp_path / "model"), TINY, images["binary"])
    (model.path / "training_classes.json").unlink()
    with pytest.raises(
        EarlierVersionError, match=r"model: has no training_classes\.json.* Run the same command or study"
    ):
        classify.function(tmp_path, write(tmp_path / "others", SETS["binary"], {"test": [9]}, site="B"), model)


@pytest.mark.slow
@pytest.mark.parametrize("name", SETS)
def test_a_clip_is_asked_probed_and_tuned_for_any_classes(
    name: str, tmp_path: Path, images: dict[str, ImageSet], embedded: dict[str, Embeddings]
) -> None:
    here, labels, seen = images[name], SETS[name], embedded[name]
    asked = checked(zero_shot.function(made(tmp_path / "a"), ZeroShotConfig(), here, CLIP, seen), here, labels)
    assert asked.facts().about == f"prompts {labels.name}, {len(labels.names)} classes"
    for head in ("linear", "tip"):
        config = ProbeConfig.model_validate({"head": head})
        found = probe_clip.function(made(tmp_path / head), config, here, here, CLIP, seen, seen)
        assert checked(found, here, labels).facts().protocol == "fewshot"
    tuned = tune_clip.function(made(tmp_path / "tuned"), TUNE.changed(method="flyp"), here, CLIP)
    after = embed_images.function(made(tmp_path / "after"), here, tuned)
    found = zero_shot.function(made(tmp_path / "b"), ZeroShotConfig(), here, tuned, after)
    assert checked(found, here, labels).facts().protocol == "adapted"
    rows = forgetting.function(made(tmp_path / "c"), ForgettingConfig(alphas=(0.0,)), here, CLIP, tuned).rows()
    assert [row.n_images for row in rows] == [len(labels.names), 2 * len(labels.names)]


def test_rules_follow_the_negative_class(
    tmp_path: Path, images: dict[str, ImageSet], embedded: dict[str, Embeddings]
) -> None:
    for name, config, said in (
        ("binary", ZeroShotConfig(other="energy"), "2 classes; none by energy below "),
        ("six", ZeroShotConfig(other="threshold", distractors=True), "11 classes; other by threshold below "),
    ):
        found = zero_shot.function(made(tmp_path / name), config, images[name], CLIP, embedded[name])
        assert said in checked(found, images[name], SETS[name]).facts().about
    with pytest.raises(LabelSetError, match="other=threshold is a rule for the negative class, and the label set der"):
        zero_shot.function(tmp_path, ZeroShotConfig(other="threshold"), images["fifty"], CLIP, embedded["fifty"])


def test_prompts_of_ones_own_come_from_a_file(
    tmp_path: Path, images: dict[str, ImageSet], embedded: dict[str, Embeddings]
) -> None:
    (tmp_path / "mine.yaml").write_text(
        "name: mine\nclasses:\n  none: [an ultrasound of a fetus]\n  zyst, left: [a round dark cyst, a cyst]\n"
        "distractors:\n  spine: [a fetal spine]\n"
    )
    config = ZeroShotConfig.model_validate({"prompts": str(tmp_path / "mine.yaml"), "distractors": True})
    found = zero_shot.function(made(tmp_path / "a"), config, images["binary"], CLIP, embedded["binary"])
    assert checked(found, images["binary"], SETS["binary"]).facts().about == "prompts mine, 3 classes"
    usual = zero_shot.function(made(tmp_path / "b"), ZeroShotConfig(), images["binary"], CLIP, embedded["binary"])
    assert found.rows()[0].probabilities != usual.rows()[0].probabilities
    with pytest.raises(LabelSetError, match=r"prompts mine: none, zyst, left\n  label set derived: View 0 "):
        zero_shot.function(tmp_path, config, images["fifty"], CLIP, embedded["fifty"])


def test_a_clip_learns_the_classes_that_its_config_names(tmp_path: Path, images: dict[str, ImageSet]) -> None:
    tiny = {"image_size_px": 32, "width": 4, "blocks": (1, 1, 1, 1), "text_width": 16, "embed_dim": 16, "steps": 1}
    config = ClipPretrainConfig.model_validate(tiny | {"batch_size": 4, "device": "cpu"})
    six, weights = images["six"], "open_clip_model.safetensors"
    five = config.changed(classes=label_set("fetal_planes").names)
    alone = write(tmp_path / "alone", SETS["six"].only(five.classes), SPLITS)
    assert len(alone.rows("train")) == 10
    for name, chosen, found in (("all", config, six), ("five", five, six)):
        pretrain_clip.function(made(tmp_path / name), chosen, found)
    assert (tmp_path / "all" / weights).read_bytes() != (tmp_path / "five" / weights).read_bytes()
    assert not (tmp_path / "all" / "label_set.json").exists()  # it can be asked about any classes
    with pytest.raises(LabelSetError, match="'kidney' is no class of the label set fetal_planes_db"):
        pretrain_clip.function(tmp_path, config.changed(classes=("kidney", "brain")), six)


# --- others are refused


def test_a_classifier_of_other_classes_is_refused(tmp_path: Path, images: dict[str, ImageSet]) -> None:
    model = train_classifier.function(made(tmp_path / "model"), TINY, images["binary"])
    both = r"the images six: abdomen, .*\n  the classifier model: zyst, left, none \(negative: none\), label set cyst"
    with pytest.raises(LabelSetError, match=both):
        classify.function(tmp_path, images["six"], model)
    same = SETS["binary"].changed(classes=["zyst, left", "none"])
    with pytest.raises(LabelSetError, match="the images plain and the classifier model have different classes"):
        classify.function(tmp_path, write(tmp_path / "plain", same, SPLITS), model)
    (model.path / "label_set.json").unlink()
    with pytest.raises(LabelSetError, match=r"model: has no label_set\.json, .* Run the same command or study again"):
        classify.function(tmp_path, images["binary"], model)


def test_a_tuned_clip_of_other_classes_is_refused(
    tmp_path: Path, images: dict[str, ImageSet], embedded: dict[str, Embeddings]
) -> None:
    tuned = tune_clip.function(made(tmp_path / "tuned"), TUNE, images["binary"], CLIP)
    six, seen = images["six"], embedded["six"]
    for refused in (
        lambda: zero_shot.function(tmp_path, ZeroShotConfig(), six, tuned, seen),
        lambda: probe_clip.function(tmp_path, ProbeConfig(), six, six, tuned, seen, seen),
        lambda: tune_clip.function(tmp_path, TUNE, six, tuned),
        lambda: forgetting.function(tmp_path, ForgettingConfig(), six, CLIP, tuned),
    ):
        with pytest.raises(LabelSetError, match=r"the tuned CLIP tuned: zyst, left, none \(negative: none\)"):
            refused()
    for file in ("label_set.json", "provenance.json"):
        (tuned.path / file).unlink()
    (tuned.path / "trained_on.json").write_text("{}")
    with pytest.raises(EarlierVersionError, match=r"tuned: was made by an earlier version of fulora.*trained_on\.json"):
        zero_shot.function(tmp_path, ZeroShotConfig(), images["binary"], tuned, embedded["binary"])


def test_a_head_of_other_classes_is_refused(
    tmp_path: Path, images: dict[str, ImageSet], embedded: dict[str, Embeddings]
) -> None:
    five = write(tmp_path / "five", label_set("fetal_planes"), {"train": [8], "validation": [9]}, site="B")
    with pytest.raises(LabelSetError, match=r"the images six: .* cervix, other .*\n  the head's images five: abdomen,"):
        probe_clip.function(
            tmp_path, ProbeConfig(head="tip"), five, images["six"], CLIP, embedded["six"], embedded["six"]
        )


def test_a_network_is_checked_before_the_classes_are_known(images: dict[str, ImageSet]) -> None:
    assert train_classifier.check is not None
    train_classifier.check(config=TINY, images=images["fifty"], start=None)
    wrong = TINY.changed(architecture="timm/no_such")
    with pytest.raises(ValueError, match="timm has no network 'no_such'"):
        train_classifier.check(config=wrong, images=images["fifty"], start=None)


def test_the_weights_say_their_classes(tmp_path: Path, images: dict[str, ImageSet]) -> None:
    model: ClassifierWeights = train_classifier.function(made(tmp_path / "model"), TINY, images["fifty"])
    files = {path.name for path in model.path.iterdir()}
    weights = {"model.safetensors", "model.json", "label_set.json", "metrics.jsonl"}
    assert files == {*weights, "provenance.json", "training_classes.json"}
