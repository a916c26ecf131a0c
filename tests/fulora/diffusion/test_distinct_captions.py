"""Whether a backbone can tell classes apart: by the tokens of their captions, and it is said where it cannot."""

from pathlib import Path

import pytest
from generation_run import inputs, settings

from fulora import progress
from fulora.data.label_set import LabelSet
from fulora.data.provenance import Provenance, read_provenance
from fulora.diffusion.config import Architecture, LoraConfig
from fulora.diffusion.models.architectures import ARCHITECTURES, build
from fulora.diffusion.models.distinct_captions import describe_identical_captions, find_identical_captions
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.sampling.config import resolve_config
from fulora.diffusion.sets.begin_set import begin_set
from fulora.diffusion.sets.job import GenerationJob, read_plan
from fulora.diffusion.training.examples import Examples, TrainingImages
from fulora.diffusion.training.image_sets import fit_lora
from fulora.engine import ProcessCache

pytestmark = pytest.mark.slow

KANJI = {"腎臓": {"a photo of 腎臓"}, "肝": {"a photo of 肝"}, "kidney": {"a photo of kidney"}}


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    found: list[str] = []
    monkeypatch.setattr(progress, "note", found.append)
    return found


def test_unknown_letters_make_captions_identical_and_unknown_words_do_not(backbone: Path) -> None:
    pipe = load_backbone(backbone)
    assert find_identical_captions(pipe, KANJI) == [("腎臓", "肝")]
    assert find_identical_captions(pipe, {"kidney": {"a kidney"}, "lung": {"a lung"}, "Lung 2": {"a lung 2"}}) == []
    assert find_identical_captions(pipe, {"a": {"x", "y"}, "b": {"y", "x"}, "c": {"x"}}) == [("a", "b")]
    assert find_identical_captions(pipe, {}) == []


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_published_tokenizers_encode_all_letters(tmp_path: Path, architecture: Architecture) -> None:
    pipe = build(architecture, tmp_path, small=True, seed=0)
    assert find_identical_captions(pipe, KANJI) == []
    assert find_identical_captions(pipe, KANJI | {"Kidney 2": {"A photo of  KIDNEY"}}) == [("kidney", "Kidney 2")]


def test_a_caption_that_is_too_long_is_named(backbone: Path) -> None:
    with pytest.raises(BackboneError, match="has 43 tokens, the backbone reads 32; shorten it"):
        describe_identical_captions(load_backbone(backbone), {"x": {"q" * 41}})


def test_identical_captions_are_noted_before_generation(tmp_path: Path, backbone: Path, notes: list[str]) -> None:
    labels = LabelSet.derived(list(KANJI))
    cfg = resolve_config(settings(planes=None), labels)
    begin_set(ProcessCache(), GenerationJob(tmp_path / "set", cfg, inputs(backbone), labels))
    (said,) = [note for note in notes if "look the same" in note]
    assert said.startswith("肝, 腎臓 look the same to this backbone: its tokenizer reads their captions alike, such as")
    assert "'a photo of 肝' and 'a photo of 腎臓'" in said
    assert read_plan(tmp_path / "set").alike == (("肝", "腎臓"),)


def test_identical_captions_are_noted_before_training_and_the_lora_lists_its_classes(
    tmp_path: Path, backbone: Path, examples: Examples, notes: list[str]
) -> None:
    planes = ["肝", "腎臓"] * 5
    labels = LabelSet.derived(planes)
    material = TrainingImages(Examples(examples.pictures, [labels.captions[name] for name in planes]), planes, labels)
    cfg = LoraConfig(rank=1, steps=1, batch_size=2, device="cpu")
    book = Provenance.unknown("backbone b")
    fit_lora(tmp_path, cfg, load_backbone(backbone), material, base_model="", base_digest="", provenance=book)
    assert read_provenance(tmp_path) == book
    assert any(note.startswith("肝, 腎臓 look the same") for note in notes)
    assert LabelSet.model_validate_json((tmp_path / "label_set.json").read_text()) == labels
