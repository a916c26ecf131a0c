"""The stage generate in a workspace: goes on where it stopped, part by part on a cluster, with its provenance."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import pytest
from generation_run import complete, drawn, lora_file, real_set, settings, tree

from fulora.data.image_set import ImageSet
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.data.weights import LoraWeights
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest
from fulora.diffusion.sampling.inputs import weights_digest
from fulora.diffusion.sampling.sample import image_seed
from fulora.diffusion.sets.blank_images import RejectedImagesError
from fulora.diffusion.sets.recipe_inputs import InputOverrides
from fulora.diffusion.sets.regenerate import regenerate
from fulora.diffusion.sets.shard_writer import write_image
from fulora.diffusion.sets.shards import shards_of
from fulora.engine import Engine, InProcess, ProcessCache
from fulora.stage import Source
from fulora.workspace import Workspace
from pipelines.stages.generate import generate

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")

T = TypeVar("T")
R = TypeVar("R")


class Elsewhere:
    """An engine of many workers, of which one is here, and takes items in the order that suits it."""

    is_local = False

    def map(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[R]:
        found = {number: function(items[number]) for number in reversed(range(len(items)))}
        return iter([found[number] for number in range(len(items))])

    def map_with_cache(self, function: Callable[[ProcessCache, T], R], items: Sequence[T]) -> Iterator[R]:
        return self.map(partial(function, ProcessCache()), items)


def lora_weights(folder: Path, backbone: Path, patients: Sequence[str], labels: LabelSet = FETAL) -> LoraWeights:
    lora_file(backbone, folder / "lora.safetensors")
    Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=tuple(patients)),)).write(folder)
    labels.write(folder)
    return LoraWeights(folder, "f" * 16)


@pytest.mark.parametrize("engine", [InProcess(), Elsewhere()], ids=["here", "elsewhere"])
def test_an_artifact_is_the_set_that_the_command_draws(tmp_path: Path, backbone: Path, engine: Engine) -> None:
    work = Workspace(tmp_path / "work", engine)
    images = work.run(generate, settings(), work.read(backbone), None, labels=FETAL)
    expected = drawn(backbone, tmp_path / "plain")
    found = tree(images.path)
    record = json.loads(found.pop("stage.json"))
    assert (record["stage"], record["artifact"]) == ("generate", "ImageSet")
    assert {**found, ".sources.json": b""} == {**tree(expected), ".sources.json": b""}
    assert [row.plane for row in images.rows()] == ["brain"] * 8 + ["femur"] * 8


def test_its_parts_are_its_shards(backbone: Path) -> None:
    call = generate.call(settings(), Source(backbone, "f"), None, labels=FETAL)
    assert generate.parts is not None
    names = generate.parts.names(**call.arguments)
    assert names == [shard.name for shard in shards_of(complete())]


def test_a_stopped_stage_goes_on_with_the_shards_it_has(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, asked, stopped = ImageGenerator.generate, [], []

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        asked.extend((request.plane, request.index) for request in requests)
        if asked[-1] == ("femur", 3) and not stopped:
            stopped.append(True)
            raise KeyboardInterrupt
        return real(self, requests)

    monkeypatch.setattr(ImageGenerator, "generate", draw)
    work = Workspace(tmp_path / "work", InProcess())
    with pytest.raises(KeyboardInterrupt):
        work.run(generate, settings(), work.read(backbone), None, labels=FETAL)
    asked.clear()
    again = Workspace(tmp_path / "work", InProcess())
    images = again.run(generate, settings(), again.read(backbone), None, labels=FETAL)
    assert [step.state for step in again.steps] == ["partial"]
    assert asked == [("femur", index) for index in range(2, 8)]
    whole = tree(drawn(backbone, tmp_path / "plain"))
    assert {name: content for name, content in tree(images.path).items() if name in whole and name[0] != "."} == {
        name: content for name, content in whole.items() if name[0] != "."
    }


def test_lora_start_and_strengths_are_in_every_recipe_and_its_patients_in_the_book(
    tmp_path: Path, backbone: Path
) -> None:
    work = Workspace(tmp_path / "work", InProcess())
    lora = lora_weights(tmp_path / "lora", backbone, ["s/A/p9"])
    start = ImageSet(real_set(tmp_path / "real", ["p1", "p2"]), "r" * 16)
    config = settings(lora_strength=0.5, lora_text_strength=0.25, steps=4)
    images = work.run(generate, config, work.read(backbone), lora, start, labels=FETAL)
    assert images.provenance().patients() == ["s/A/p1", "s/A/p2", "s/A/p9"]
    for row in images.rows():
        recipe = json.loads(row.recipe)
        assert recipe["backbone"] == {"name": backbone.name, "digest": weights_digest(backbone)}
        (used,) = recipe["loras"]
        assert (used["name"], used["strength"], used["text_strength"]) == ("lora.safetensors", 0.5, 0.25)
        assert recipe["start"]["image_id"].startswith("p")
    paths = sorted(images.path.glob("train/images/*/*.png"))[::5]
    for again in regenerate(paths, InputOverrides(), tmp_path / "lora"):
        write_image(tmp_path / "again.png", again.new_row, again.image)
        assert (tmp_path / "again.png").read_bytes() == again.path.read_bytes()


def test_settings_and_inputs_name_the_artifact(tmp_path: Path, backbone: Path) -> None:
    work = Workspace(tmp_path, InProcess(), plan=True)
    weights = work.read(backbone)
    lora = LoraWeights(tmp_path / "lora", "a")
    start = ImageSet(tmp_path / "real", "r")
    calls = [
        generate.call(settings(), weights, None, labels=FETAL),
        generate.call(settings(seed=1), weights, None, labels=FETAL),
        generate.call(settings(colour="rgb"), weights, None, labels=FETAL),
        generate.call(settings(), weights, lora, labels=FETAL),
        generate.call(settings(), weights, replace(lora, fingerprint="b"), labels=FETAL),
        generate.call(settings(), weights, None, start, labels=FETAL),
    ]
    assert len({call.fingerprint() for call in calls}) == len(calls)
    assert generate.call(settings(device="auto"), weights, None, labels=FETAL).fingerprint() == calls[0].fingerprint()


def test_a_failed_blank_image_check_leaves_rejected_images_and_no_artifact(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = ImageGenerator.generate
    monkeypatch.setattr(
        ImageGenerator,
        "generate",
        lambda self, requests: [replace(each, finite=False) for each in real(self, requests)],
    )
    work = Workspace(tmp_path / "work", InProcess())
    with pytest.raises(RejectedImagesError, match=r"\(6 nan\)"):
        work.run(generate, settings(), work.read(backbone), None, labels=FETAL)
    assert not list((tmp_path / "work").glob("generate-*"))
    assert len(list((tmp_path / "work").glob(".generate-*/rejected/brain-00000/*.png"))) == 6


# --- whose classes are drawn


def test_a_lora_or_start_images_of_other_classes_are_refused_with_both(tmp_path: Path, backbone: Path) -> None:
    work, kidneys = Workspace(tmp_path / "work", InProcess()), LabelSet.derived(["left kidney", "right kidney"])
    weights, lora = work.read(backbone), lora_weights(tmp_path / "lora", backbone, [], kidneys)
    start = ImageSet(real_set(tmp_path / "real", ["p1"]), "r" * 16)
    theirs = r"left kidney, right kidney, label set derived"
    with pytest.raises(LabelSetError, match=rf"abdomen, brain.*label set fetal_planes\n  the LoRA: {theirs}"):
        work.run(generate, settings(), weights, lora, labels=FETAL)
    with pytest.raises(LabelSetError, match=rf"{theirs}\n  the images to start from: abdomen, brain"):
        work.run(generate, settings(planes=None), weights, lora, start, labels=kidneys)


def test_planes_and_prompts_of_what_is_no_class_are_refused_with_the_classes(tmp_path: Path, backbone: Path) -> None:
    work = Workspace(tmp_path / "work", InProcess())
    has = "no class of the label set fetal_planes; it has abdomen, brain, femur, thorax, other"
    for changes, named in (
        ({"planes": ("brain", "kidney", "lung")}, "generate.planes: 'kidney', 'lung'"),
        ({"prompts": {"kidney": "x"}}, "generate.prompts: 'kidney'"),
    ):
        with pytest.raises(LabelSetError, match=f"{named}: {has}"):
            work.run(generate, settings(**changes), work.read(backbone), None, labels=FETAL)


ODD = ("Left kidney", "Ductus venosus (Doppler)", "腎臓", "niño_2", "4CH & LVOT", "lung-1")


@pytest.mark.parametrize("names", [ODD[:2], tuple(f"{name} {n}" for n in range(5) for name in ODD)], ids=len)
def test_any_classes_are_drawn_by_their_captions(tmp_path: Path, backbone: Path, names: tuple[str, ...]) -> None:
    labels = LabelSet.derived(names, caption="{name}")
    prompts = {"Left kidney 0": "a photo"} if len(names) > 2 else {}
    config = settings(planes=None, prompts=prompts, per_class=1)
    work = Workspace(tmp_path / "work", InProcess())
    images = work.run(generate, config.changed(max_rejected=1.0), work.read(backbone), None, labels=labels)
    rows = images.rows()
    assert images.label_set() == labels
    assert [row.plane for row in rows] == list(labels.names)
    assert [row.caption for row in rows] == [config.prompts.get(name, name) for name in labels.names]
    assert {row.seed for row in rows} == {str(image_seed(config, row.plane, 0)) for row in rows}
    again = next(regenerate([images.path / "train" / rows[-1].file_name], InputOverrides(), tmp_path))
    assert again.row.sha256 == again.new_row.sha256
    assert again.new_row.plane == labels.names[-1]
