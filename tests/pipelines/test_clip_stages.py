"""Stages on a CLIP: nobody is tested on whom it was tuned on, and every prediction says how it was made."""

from pathlib import Path

import numpy as np
import pytest
import torch
from image_rows import image_row

from fulora.clip import embed, embedding_parts, tune
from fulora.clip.config import ForgettingConfig, ProbeConfig, TuneClipConfig, ZeroShotConfig
from fulora.clip.loading import Clip, load_clip
from fulora.clip.model import normalise
from fulora.config import ConfigError
from fulora.data.embeddings import Embeddings
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import LabelSet, label_set
from fulora.data.leak_check import OverlapError
from fulora.data.patient_numbers import SameNumberError, note_different_patients
from fulora.data.weights import ClipWeights
from fulora.engine import InProcess, ProcessCache
from fulora.workspace import Workspace
from pipelines import configs
from pipelines.backbone_names import ASSETS
from pipelines.stages.embed_images import embed_images
from pipelines.stages.forgetting import forgetting
from pipelines.stages.probe_clip import probe_clip
from pipelines.stages.tune_clip import tune_clip
from pipelines.stages.zero_shot import zero_shot

FETAL = label_set("fetal_planes")
PLANES = FETAL.names

CLIP = ClipWeights(ASSETS / "clip", "c")
TUNE = TuneClipConfig(steps=2, batch_size=5, evaluate_every=1, device="cpu")


def write(folder: Path, name: str, splits: dict[str, list[int]], site: str = "A") -> ImageSet:
    """One 20x30 picture a plane and patient number of each split."""
    rng = np.random.default_rng(ord(site))
    pictures = [
        Picture(
            image_row(f"{site}{p}{plane}", plane=plane, split=split, site=site, patient=f"{p}"),
            rng.integers(0, 256, (20, 30)).astype(np.uint8),
        )
        for split, patients in splits.items()
        for p in patients
        for plane in PLANES
    ]
    (folder / name).mkdir()
    ImageSet.write(folder / name, pictures, labels=FETAL)
    return ImageSet(folder / name, name)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="module")
def images(folder: Path) -> ImageSet:
    return write(folder, "images", {"train": [1, 2], "validation": [3], "test": [4, 5]})


@pytest.fixture(scope="module")
def embedded(folder: Path, images: ImageSet) -> Embeddings:
    (folder / "embedded").mkdir()
    embed_images.function(folder / "embedded", images, CLIP)
    return Embeddings(folder / "embedded", "e")


@pytest.fixture(scope="module")
def tuned(folder: Path, images: ImageSet) -> ClipWeights:
    tune_clip.function(folder / "tuned", TUNE, images, CLIP)
    return ClipWeights(folder / "tuned", "t")


def made(folder: Path) -> Path:
    folder.mkdir()
    return folder


def test_every_image_is_embedded_once_in_any_order(images: ImageSet, embedded: Embeddings) -> None:
    rows = images.rows()
    assert embedded.of(rows).shape == (25, 64)
    assert np.array_equal(embedded.of(rows[::-1]), embedded.of(rows)[::-1])
    with pytest.raises(ValueError, match="1 images were not embedded, such as Z"):
        embedded.of([rows[0].model_copy(update={"image_id": "Z"})])


def test_parts_of_other_processes_are_joined_in_order(
    tmp_path: Path, images: ImageSet, embedded: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, out = embed_images.parts, made(tmp_path / "out")
    assert parts is not None
    assert embedding_parts.PART % 64 == 0, "whole batches of a CPU"
    monkeypatch.setattr(embedding_parts, "PART", 10)
    names, cache = parts.names(images, CLIP, "cpu"), ProcessCache()
    assert names == ["00000000", "00000010", "00000020"]
    for name in names[::2]:
        parts.make(out, name, cache, images, CLIP, "cpu")
    monkeypatch.setattr(embedding_parts, "image_directions", lambda *given: torch.full((10, 64), 0.5))
    found = embed_images.function(out, images, CLIP, "cpu")
    rows = images.rows()
    np.testing.assert_allclose(found.of(rows)[:10], embedded.of(rows)[:10], atol=1e-5)
    np.testing.assert_allclose(found.of(rows)[20:], embedded.of(rows)[20:], atol=1e-5)
    assert (found.of(rows)[10:20] == 0.5).all()
    assert sorted(path.name for path in out.iterdir()) == ["embeddings.safetensors", "ids.json"]


def test_prompts_and_rules_say_what_they_are(tmp_path: Path, images: ImageSet, embedded: Embeddings) -> None:
    plain = zero_shot.function(made(tmp_path / "a"), ZeroShotConfig(), images, CLIP, embedded).facts()
    assert (plain.protocol, plain.training_prior, plain.about) == ("prompt", None, "prompts fetal_planes, 5 classes")
    asked = ZeroShotConfig(distractors=True, other="energy")
    found = zero_shot.function(made(tmp_path / "b"), asked, images, CLIP, embedded)
    assert found.facts().about.startswith("prompts fetal_planes, 11 classes; other by energy below ")
    assert [row.image_id for row in found.rows()] == [row.image_id for row in images.rows("test")]


@pytest.mark.slow
def test_a_tuned_clip_is_adapted_and_refuses_whom_it_knows(
    tmp_path: Path, images: ImageSet, embedded: Embeddings, tuned: ClipWeights
) -> None:
    found = zero_shot.function(made(tmp_path / "a"), ZeroShotConfig(), images, tuned, embedded)
    assert found.facts().protocol == "adapted"
    for number, said in ((1, "trained on"), (3, "used for model selection")):
        leak = write(tmp_path, f"leak{number}", {"test": [number]})
        with pytest.raises(
            OverlapError, match=rf"tuned CLIP tuned: \d images and 1 patients of the test set were {said}"
        ):
            zero_shot.function(made(tmp_path / f"b{number}"), ZeroShotConfig(), leak, tuned, embedded)
    renamed = write(tmp_path, "renamed", {"test": [1]}, site="B")
    with pytest.raises(SameNumberError, match=r"tuned CLIP tuned and the test:\n1 patient number occurs"):
        zero_shot.function(made(tmp_path / "c"), ZeroShotConfig(), renamed, tuned, embedded)


@pytest.mark.parametrize("head", ["linear", "tip"])
def test_a_probe_transfers_or_has_seen_a_few_of_the_population(
    head: str, tmp_path: Path, images: ImageSet, embedded: Embeddings
) -> None:
    config = ProbeConfig.model_validate({"head": head})
    few = probe_clip.function(made(tmp_path / "a"), config, images, images, CLIP, embedded, embedded).facts()
    assert few.protocol == "fewshot"
    away = write(tmp_path, "away", {"test": [1]}, site="B")
    there = embed_images.function(made(tmp_path / "there"), away, CLIP)
    with pytest.raises(SameNumberError, match="the head and the test:\n1 patient number occurs under two names: 1 "):
        probe_clip.function(made(tmp_path / "same"), config, images, away, CLIP, embedded, there)
    note_different_patients(away.path)
    found = probe_clip.function(made(tmp_path / "b"), config, images, away, CLIP, embedded, there)
    assert found.facts().protocol == "transfer"
    assert np.allclose([sum(row.probabilities) for row in found.rows()], 1)
    leak = write(tmp_path, "leak", {"test": [2]})
    with pytest.raises(OverlapError, match=r"the head: \d images and 1 patients of the test set were trained on"):
        probe_clip.function(made(tmp_path / "c"), config, images, leak, CLIP, embedded, embedded)


def test_a_clip_is_tuned_on_the_pixels_that_it_is_tested_on(
    tmp_path: Path, images: ImageSet, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The pictures are 20x30 px, and this CLIP sees squares of 64 px."""
    learned: list[torch.Tensor] = []

    def fit(
        out: Path, cfg: TuneClipConfig, labels: LabelSet, clip: Clip, train: tune.TuningImages, *given: object
    ) -> None:
        same = cfg.changed(batch_size=len(train.labels), crop=1.0, balanced=False)
        monkeypatch.setattr(tune, "augment", lambda pixels, crop, drawn: pixels)
        monkeypatch.setattr(tune, "batch", lambda labels, cfg, done: torch.arange(len(labels)))
        monkeypatch.setattr(tune, "normalise", lambda model, seen: learned.append(seen) or normalise(model, seen))
        tune.ClipLearner(clip, same, labels).loss(train, torch.ones(len(train.labels)), 1)

    with monkeypatch.context() as patched:
        patched.setattr(tune, "fit", fit)
        tune_clip.function(made(tmp_path / "a"), TUNE, images, CLIP)
    tested: list[torch.Tensor] = []
    monkeypatch.setattr(embed, "normalise", lambda model, seen: tested.append(seen) or normalise(model, seen))
    rows, model = images.rows("train"), load_clip(CLIP.path).model
    embed.image_directions(model, len(rows), lambda number: images.pixels(rows[number]))
    assert learned[0].shape == (10, 1, 64, 64)
    assert torch.equal(learned[0], torch.cat(tested))


def test_forgetting_starts_at_the_old_clip(
    tmp_path: Path, images: ImageSet, embedded: Embeddings, tuned: ClipWeights
) -> None:
    config = ForgettingConfig(alphas=(0.0, 1.0))
    rows = forgetting.function(made(tmp_path / "a"), config, images, CLIP, tuned).rows()
    assert [(row.alpha, row.n_images, row.n_patients) for row in rows] == [(0, 5, 1), (0, 10, 2), (1, 5, 1), (1, 10, 2)]
    plain = zero_shot.function(made(tmp_path / "b"), ZeroShotConfig(), images, CLIP, embedded).rows()
    right = [PLANES[int(np.argmax(row.probabilities))] == row.plane for row in plain]
    assert rows[1].value == pytest.approx(np.mean(right))


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("clip_arms={a: {}}", "give either tune or probe"),
        ("clip_arms={a: {probe: {}, tune: {}}}", "give either tune or probe"),
        ("clip_arms={a: {images: copies, probe: {}}}", "clip_arms: no arm 'copies' whose images to take"),
        ("clip_arms={hybrid: {probe: {}}}", "arms: hybrid is taken"),
        ("zero_shot.prompts=mine.yaml", "mine.yaml: no file of prompts; give the path of a .yaml file"),
    ],
)
def test_arms_that_cannot_be(override: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        configs.load("demo", [override])


class Elsewhere(InProcess):
    """Another process that makes parts first, as Ray's workers do."""

    is_local = False


def test_parts_made_elsewhere_give_the_same_embeddings(
    tmp_path: Path, images: ImageSet, embedded: Embeddings, monkeypatch: pytest.MonkeyPatch
) -> None:
    made_there: list[str] = []
    make = embedding_parts.make_part
    monkeypatch.setattr(embedding_parts, "make_part", lambda *given: made_there.append(given[1]) or make(*given))
    found = Workspace(tmp_path, Elsewhere()).run(embed_images, images, CLIP, device="cpu")
    assert made_there == ["00000000"] * 2, "by the worker, and found by the stage"
    assert np.array_equal(found.of(images.rows()), embedded.of(images.rows()))
