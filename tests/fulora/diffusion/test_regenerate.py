"""Images generated again from their recipes: the same bytes, or a clear message about what differs."""

import json
import random
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from generation_run import complete, inputs, lora_file, real_set
from PIL import Image as Pil

from fulora import progress
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import png_info
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest
from fulora.diffusion.sampling.inputs import GenerationInputs, lora_source
from fulora.diffusion.sampling.recipe import Recipe, RecipeError, read_row
from fulora.diffusion.sets import regenerate as module
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.job import GenerationJob
from fulora.diffusion.sets.recipe_inputs import InputOverrides
from fulora.diffusion.sets.regenerate import RegeneratedImage, regenerate
from fulora.diffusion.sets.shard_writer import write_image
from fulora.engine import InProcess

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")

FIRST_TRIES = {1, 4, 7, 10}
"""Indices of pictures that are black when they are drawn for the first time."""


@dataclass(frozen=True)
class Sources:
    """What the sets of this file are drawn with, and the sets."""

    backbone: Path
    loras: tuple[Path, Path]
    real: Path
    everything: Path
    over: Path
    demo: Path


def make(out: Path, used: GenerationInputs, **changes: object) -> Path:
    """A set in which some pictures were drawn twice."""
    real = ImageGenerator.generate

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        return [
            replace(drawn, finite=drawn.request.attempt > 0 or drawn.request.index not in FIRST_TRIES)
            for drawn in real(self, requests)
        ]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageGenerator, "generate", draw)
        assert (
            generate_set(GenerationJob(out, complete(**{"max_rejected": 1.0} | changes), used, FETAL), InProcess())
            == []
        )
    return out


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Sources:
    folder = tmp_path_factory.mktemp("sources")
    loras = tuple(lora_file(backbone, folder / f"lora{number}" / "lora.safetensors", number) for number in range(2))
    real = real_set(folder / "real", ["p1", "p2"])
    used = inputs(backbone, loras=(lora_source(loras[0], 0.7, 0.2), lora_source(loras[1], 0.4)))
    everything = make(
        folder / "everything",
        used,
        per_class=11,
        image_size_px=(48, 32),
        colour="rgb",
        sampler=("euler", "unipc"),
        steps=3,
        negative_prompt="blurred",
        guidance_interval=(0.0, 0.6),
        guidance_scale=5,
        clip_skip=2,
        batch_size=3,
        seed=5,
    )
    over = make(folder / "over", inputs(backbone, start=real), steps=4, sampler="ddim", seed=6)
    (folder / "demo").mkdir()
    return Sources(backbone, (loras[0], loras[1]), real, everything, over, folder / "demo")


def pictures(out: Path, seed: int = 0) -> list[Path]:
    found = sorted(out.glob("train/images/*/*.png"))
    random.Random(seed).shuffle(found)
    return found


def copied(paths: Sequence[Path], to: Path) -> list[Path]:
    to.mkdir(parents=True)
    return [Path(shutil.copy(path, to / path.name)) for path in paths]


def written(again: RegeneratedImage, folder: Path) -> bytes:
    write_image(folder / "again.png", again.new_row, again.image)
    return (folder / "again.png").read_bytes()


def changed(path: Path, to: Path, **recipe: object) -> Path:
    """A picture with another recipe in it."""
    row, said = read_row(path)
    text = json.dumps(said.model_dump(mode="json") | recipe)
    with Pil.open(path) as image:
        image.save(to, pnginfo=png_info(row.model_copy(update={"recipe": text})))
    return to


# --- the same bytes


def test_every_picture_of_a_set_with_everything_has_the_same_bytes(tmp_path: Path, sources: Sources) -> None:
    """RGB, landscape, two samplers and two LoRAs, a negative prompt, guided for a while, some drawn twice."""
    paths = pictures(sources.everything)
    assert len(paths) == 22
    attempts = [read_row(path)[1].attempt for path in paths]
    assert sum(attempts) == 2 * len(FIRST_TRIES)
    again = {each.path: each for each in regenerate(paths, InputOverrides(), sources.demo)}
    assert set(again) == set(paths)
    for path in paths:
        assert written(again[path], tmp_path) == path.read_bytes()
    with Pil.open(paths[0]) as image:
        assert (image.mode, image.size) == ("RGB", (48, 32))


def test_every_picture_that_was_drawn_over_another_has_the_same_bytes(tmp_path: Path, sources: Sources) -> None:
    paths = pictures(sources.over)
    assert {read_row(path)[1].start is not None for path in paths} == {True}
    for again in regenerate(paths, InputOverrides(), sources.demo):
        assert written(again, tmp_path) == again.path.read_bytes()


@pytest.mark.parametrize("count", [1, 2, 5])
def test_it_does_not_matter_which_are_drawn_together(tmp_path: Path, sources: Sources, count: int) -> None:
    for again in regenerate(pictures(sources.everything, count)[:count], InputOverrides(), sources.demo):
        assert written(again, tmp_path) == again.path.read_bytes()


def test_copies_are_drawn_with_what_is_given(tmp_path: Path, sources: Sources) -> None:
    moved = Path(shutil.copytree(sources.backbone, tmp_path / "elsewhere"))
    given = InputOverrides(backbone=moved, loras=sources.loras)
    for again in regenerate(copied(pictures(sources.everything)[:6], tmp_path / "few"), given, sources.demo):
        assert written(again, tmp_path) == again.path.read_bytes()
    given = InputOverrides(backbone=moved, start=sources.real)
    for again in regenerate(copied(pictures(sources.over)[:6], tmp_path / "over"), given, sources.demo):
        assert written(again, tmp_path) == again.path.read_bytes()


def test_the_embedded_backbone_is_known_by_its_digest(tmp_path: Path, sources: Sources) -> None:
    given = InputOverrides(start=sources.real)
    for again in regenerate(copied(pictures(sources.over)[:2], tmp_path / "over"), given, sources.backbone):
        assert written(again, tmp_path) == again.path.read_bytes()


def test_a_folder_that_was_moved_with_its_sources_still_knows_them(tmp_path: Path, sources: Sources) -> None:
    whole = tmp_path / "project"
    for name, folder in (("weights", sources.backbone), ("real", sources.real)):
        shutil.copytree(folder, whole / name)
    out = make(whole / "sets" / "over", inputs(whole / "weights", start=whole / "real"), steps=4, seed=6)
    shutil.move(whole, tmp_path / "moved")
    paths = pictures(tmp_path / "moved" / out.relative_to(whole))
    for again in regenerate(paths[:3], InputOverrides(), sources.demo):
        assert written(again, tmp_path) == again.path.read_bytes()


def test_images_of_several_sets_in_one_folder_are_not_mixed(tmp_path: Path, sources: Sources) -> None:
    """Sets with one seed that differ in a prompt, in how far they forget an image, or in whether there is one."""
    used, start = inputs(sources.backbone), inputs(sources.backbone, start=sources.real)
    sets = {
        "plain": make(tmp_path / "plain", used, steps=4),
        "words": make(tmp_path / "words", used, steps=4, prompts={"brain": "a head", "femur": "a leg"}),
        "near": make(tmp_path / "near", start, steps=4, start_strength=0.5),
        "far": make(tmp_path / "far", start, steps=4, start_strength=1.0),
    }
    paths = []
    for number, (name, out) in enumerate(sets.items()):
        chosen = [path for path in sorted(out.glob("train/images/*/*.png")) if int(path.stem[-5:]) % 4 == number]
        paths += copied(chosen, tmp_path / "copies" / name)
    assert len(paths) == 16
    random.Random(0).shuffle(paths)
    given = InputOverrides(backbone=sources.backbone, start=sources.real)
    again = list(regenerate(paths, given, sources.demo))
    assert len(again) == 16
    for each in again:
        assert written(each, tmp_path) == each.path.read_bytes(), each.path


def test_a_picture_of_a_mixed_set_has_the_same_pixels(tmp_path: Path, sources: Sources) -> None:
    """It was written anew with its row, so it still says all."""
    images = ImageSet(sources.over, "")
    ImageSet.write(tmp_path, images.pictures(), labels=FETAL)
    paths = sorted(tmp_path.glob("train/images/*.png"))
    assert len(paths) == 16
    for again in regenerate(paths[:4], InputOverrides(sources.backbone, start=sources.real), sources.demo):
        assert again.new_row.sha256 == again.row.sha256
        assert again.new_row.recipe == again.row.recipe


# --- what is not the same


def test_edited_pixels_are_another_picture_than_what_is_drawn(tmp_path: Path, sources: Sources) -> None:
    """The row in the file still says what was first drawn; what the file holds now is compared with that."""
    path = pictures(sources.over)[0]
    with Pil.open(path) as image:
        pixels = np.asarray(image).copy()
    pixels[3, 5] ^= 1
    edited = tmp_path / "edited.png"
    Pil.fromarray(pixels).save(edited, pnginfo=png_info(read_row(path)[0]))
    (again,) = regenerate([edited], InputOverrides(sources.backbone, start=sources.real), sources.demo)
    assert again.new_row.sha256 == again.row.sha256
    assert np.argwhere(again.image.pixels != pixels).tolist() == [[3, 5]]
    assert written(again, tmp_path) == path.read_bytes() != edited.read_bytes()


def test_an_edited_record_is_found_by_its_seed(tmp_path: Path, sources: Sources) -> None:
    path = pictures(sources.over)[0]
    given = InputOverrides(sources.backbone, start=sources.real)
    for recipe in ({"seed": 1}, {"attempt": 4}, {"set_seed": 7}):
        odd = changed(path, tmp_path / "odd.png", **recipe)
        with pytest.raises(RecipeError, match=r"odd\.png: its seed is not that of its plane and index; the record was"):
            list(regenerate([odd], given, sources.demo))


def test_a_picture_without_a_recipe_is_refused_before_any_is_drawn(tmp_path: Path, sources: Sources) -> None:
    Pil.fromarray(np.zeros((8, 8), np.uint8)).save(tmp_path / "photo.png")
    found = regenerate([pictures(sources.over)[0], tmp_path / "photo.png"], InputOverrides(), sources.demo)
    with pytest.raises(RecipeError, match=r"photo\.png: does not say how it was made"):
        next(found)


def refused(paths: Sequence[Path], given: InputOverrides, sources: Sources, message: str) -> None:
    with pytest.raises(RecipeError, match=message):
        list(regenerate(paths, given, sources.demo))


def test_another_backbone_is_refused(tmp_path: Path, sources: Sources) -> None:
    other = Path(shutil.copytree(sources.backbone, tmp_path / "other"))
    (other / "model_index.json").write_text((other / "model_index.json").read_text() + "\n")
    path = pictures(sources.over)[0]
    refused(
        [path],
        InputOverrides(other),
        sources,
        r"other: is another backbone \(\w{16}\) than .*png was made with \(\w{16}\)",
    )
    refused(
        [path], InputOverrides(tmp_path / "no"), sources, r"no: the backbone .* is missing; give it with --backbone"
    )
    alone = copied([path], tmp_path / "alone")
    refused(
        alone,
        InputOverrides(start=sources.real),
        sources,
        r"made with the backbone .* \(\w{16}\); give it with --backbone",
    )


def test_other_loras_are_refused(tmp_path: Path, sources: Sources) -> None:
    path, (one, two) = pictures(sources.everything)[0], sources.loras
    count = r"made with these LoRAs: lora\.safetensors \(\w{16}\), lora\.safetensors \(\w{16}\); give each with --lora"
    refused([path], InputOverrides(loras=(one,)), sources, count)
    refused([path], InputOverrides(loras=()), sources, count)
    refused(copied([path], tmp_path / "alone"), InputOverrides(sources.backbone), sources, count)
    other = r"lora\.safetensors: is another LoRA \(\w{16}\) than the image was made with \(\w{16}\)"
    refused([path], InputOverrides(loras=(two, one)), sources, other)
    missing = r"no\.safetensors: the LoRA lora\.safetensors \(\w{16}\) is missing; give it with --lora FILE"
    refused([path], InputOverrides(loras=(one, tmp_path / "no.safetensors")), sources, missing)
    plain = copied(pictures(sources.over)[:1], tmp_path / "plain")
    given = InputOverrides(sources.backbone, loras=(one,), start=sources.real)
    refused(plain, given, sources, "made with these LoRAs: none; give each")


def test_other_start_images_are_refused(tmp_path: Path, sources: Sources) -> None:
    path = next(path for path in pictures(sources.over) if read_row(path)[1].index == 0)
    alone = copied([path], tmp_path / "alone")
    refused(
        alone,
        InputOverrides(sources.backbone),
        sources,
        "was generated from an image of an unknown set; give it",
    )
    others = real_set(tmp_path / "others", ["p3"])
    drawn_over = (
        rf"others: the image was generated from p1_{read_row(path)[1].plane}_0, which is not in it; give --start"
    )
    refused([path], InputOverrides(start=others), sources, drawn_over)
    edited = Path(shutil.copytree(sources.real, tmp_path / "edited"))
    lines = [json.loads(line) for line in (edited / "train" / "metadata.jsonl").read_text().splitlines()]
    rows = [Image.from_json(line | {"sha256": line["sha256"][::-1]}) for line in lines]
    ImageSet.write_rows(edited, rows, labels=FETAL)
    refused(
        [path],
        InputOverrides(start=edited),
        sources,
        "edited: the image was generated from .* which has other pixels there",
    )


def on(sources: Sources, folder: Path, **compute: object) -> Path:
    """A picture that says it was computed otherwise."""
    path = pictures(sources.over)[0]
    recipe: Recipe = read_row(path)[1]
    said = recipe.compute.model_dump(mode="json") | compute
    return changed(path, folder / "there.png", compute=said)


def test_another_kind_of_device_is_refused_and_another_model_is_noted(
    tmp_path: Path, sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = InputOverrides(sources.backbone, start=sources.real, device="cpu")
    refused([on(sources, tmp_path, device="cuda")], given, sources, "made on cuda, and cpu gives other pixels; use")
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    (again,) = regenerate([on(sources, tmp_path, hardware="another")], given, sources.demo)
    assert [note for note in notes if note.startswith("made on another, and this is ")]
    assert json.loads(again.new_row.recipe)["compute"]["hardware"] != "another"
    assert again.new_row.sha256 == again.row.sha256


def test_weights_are_loaded_once_for_all_pictures_of_a_sampler(
    sources: Sources, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []
    real = module.build_generator
    monkeypatch.setattr(module, "build_generator", lambda *given: [loaded.append(given[1].sampler), real(*given)][1])
    assert len(list(regenerate(pictures(sources.everything), InputOverrides(), sources.demo))) == 22
    assert sorted(loaded) == ["euler", "unipc"]
