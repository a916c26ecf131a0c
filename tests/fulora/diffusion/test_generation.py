"""A whole set: the same whatever it was made in, refused where something else is, and open to everybody."""

import getpass
import json
import random
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from generation_run import complete, drawn, inputs, job, real_set, settings, tree
from PIL import Image as Pil

from fulora import progress
from fulora.data.column_types import Plane
from fulora.data.image import ImageSetError
from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.diffusion.sampling.config import GenerateConfig
from fulora.diffusion.sampling.image_generator import GeneratedImage, ImageGenerator, ImageRequest, build_generator
from fulora.diffusion.sampling.recipe import read_row
from fulora.diffusion.sampling.sample import image_seed
from fulora.diffusion.sets import assembly, generation
from fulora.diffusion.sets.assembly import assemble_set
from fulora.diffusion.sets.begin_set import begin_set, generator_of
from fulora.diffusion.sets.blank_images import RejectedImagesError, read_counts
from fulora.diffusion.sets.generation import generate_set, generate_shard
from fulora.diffusion.sets.job import GenerationError, GenerationJob, is_complete, read_plan
from fulora.diffusion.sets.shards import IMAGES, Shard, ShardError, claimed, read_shard, shards_of
from fulora.engine import InProcess, ProcessCache
from pipelines.stages.mix import MixConfig, mix

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")


def folders(out: Path) -> set[str]:
    return {path.name for path in (out / IMAGES).iterdir()}


def stamps(out: Path) -> dict[str, tuple[int, int]]:
    """Inode and time of every file in shards."""
    return {
        path.relative_to(out).as_posix(): (path.stat().st_ino, path.stat().st_mtime_ns)
        for path in (out / IMAGES).rglob("*")
    }


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:
    """A set that is drawn in one go."""
    return drawn(backbone, tmp_path_factory.mktemp("whole") / "set")


# --- the same set, however it was made


def test_a_set_holds_what_it_should_and_nothing_else(whole: Path) -> None:
    names = {name for name in tree(whole) if not name.startswith("train/images/")}
    assert names == {
        ".sources.json",
        "generation.json",
        "provenance.json",
        "label_set.json",
        "gate.json",
        "overview.png",
        "train",
        "train/images",
        "train/metadata.jsonl",
    }
    rows = ImageSet(whole, "").rows()
    assert [row.image_id for row in rows] == [f"synthetic_{p}_{i:05d}" for p in ("brain", "femur") for i in range(8)]
    assert len({row.sha256 for row in rows}) == 16
    counts = read_counts(whole)
    assert counts is not None
    assert (counts.images, counts.drawn, counts.rejected) == (16, 16, {"brain": {}, "femur": {}})


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_parts_in_any_order_are_one_run(
    tmp_path: Path, backbone: Path, whole: Path, order: tuple[int, int, int]
) -> None:
    every, mine = shards_of(complete()), job(backbone, tmp_path / "set")
    for done, part in enumerate(order, 1):
        missing = generate_set(mine, InProcess(), part=(part, 3))
        left = [shard for other in order[done:] for shard in every[other::3]]
        assert sorted(missing, key=lambda shard: shard.name) == sorted(left, key=lambda shard: shard.name)
        assert is_complete(mine.out) == (not left)
    assert tree(mine.out) == tree(whole)


def test_shards_made_one_by_one_in_any_order_are_one_run(tmp_path: Path, backbone: Path, whole: Path) -> None:
    """As a cluster does: each by its name, the weights loaded again every other time, the set assembled at the end."""
    mine = job(backbone, tmp_path / "set")
    names, cache = [shard.name for shard in shards_of(mine.cfg)], ProcessCache()
    random.Random(3).shuffle(names)
    for number, name in enumerate(names):
        if number % 2:
            cache = ProcessCache()
        generate_shard(cache, mine, name)
        assert folders(mine.out) == set(names[: number + 1])
        assert not is_complete(mine.out)
    assemble_set(ProcessCache(), mine)
    assert tree(mine.out) == tree(whole)


def test_a_larger_set_begins_with_a_smaller_one(tmp_path: Path, backbone: Path, whole: Path) -> None:
    more = drawn(backbone, tmp_path / "set", per_class=9)
    few = {name: content for name, content in tree(whole / IMAGES).items()}
    assert few.items() <= tree(more / IMAGES).items()


def test_a_complete_shard_is_never_redone(tmp_path: Path, backbone: Path, whole: Path) -> None:
    mine = job(backbone, tmp_path / "set")
    generate_set(mine, InProcess(), part=(1, 2))
    before = stamps(mine.out)
    generate_set(mine, InProcess())
    assert before.items() <= stamps(mine.out).items()
    assert tree(mine.out) == tree(whole)
    done = stamps(mine.out)
    assert generate_set(mine, InProcess()) == []
    generate_shard(ProcessCache(), mine, "brain-00000")
    assemble_set(ProcessCache(), mine)
    assert stamps(mine.out) == done
    assert tree(mine.out) == tree(whole)


def test_a_half_shard_is_redone_alone(tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = job(backbone, tmp_path / "set", shard_batches=2)
    asked: list[int] = []
    real = ImageGenerator.generate

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        asked.extend(request.index for request in requests if request.plane == "femur")
        if len(asked) > 6:
            raise KeyboardInterrupt
        return real(self, requests)

    with monkeypatch.context() as patched:
        patched.setattr(ImageGenerator, "generate", draw)
        with pytest.raises(KeyboardInterrupt):
            generate_set(mine, InProcess())
    assert folders(mine.out) == {"brain-00000", "brain-00001", "femur-00000"}
    assert asked == list(range(8))
    before = stamps(mine.out)
    assert sorted(path.name for path in (mine.out / ".work").iterdir()) == ["locks"]
    asked.clear()
    monkeypatch.setattr(
        ImageGenerator,
        "generate",
        lambda self, requests: [asked.extend(d.index for d in requests), real(self, requests)][1],
    )
    assert generate_set(mine, InProcess()) == []
    assert asked == [4, 5, 6, 7]
    assert before.items() <= stamps(mine.out).items()
    assert tree(mine.out) == tree(drawn(backbone, tmp_path / "again", shard_batches=2))


def test_shards_that_others_are_at_are_waited_for_and_made_when_those_die(
    tmp_path: Path, backbone: Path, whole: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two shards are held; they come last, and are made here since nobody has made them."""
    mine, order = job(backbone, tmp_path / "set"), []
    begin_set(ProcessCache(), mine)
    held = [claimed(mine.out, name, wait=True) for name in ("brain-00000", "femur-00001")]
    for hold in held:
        hold.__enter__()
    real = generation.make_shard

    def made(shard: Shard, *arguments: object, **named: object) -> None:
        order.append(shard.name)
        real(shard, *arguments, **named)  # type: ignore[arg-type]
        if len(order) == 6:
            for hold in held:
                hold.__exit__(None, None, None)

    monkeypatch.setattr(generation, "make_shard", made)
    assert generate_set(mine, InProcess()) == []
    assert len(order) == 8
    assert order[6:] == ["brain-00000", "femur-00001"]
    assert tree(mine.out) == tree(whole)


def test_shards_that_a_complete_set_has_lost_are_made_again(tmp_path: Path, backbone: Path, whole: Path) -> None:
    out = tmp_path / "set"
    shutil.copytree(whole, out)
    shutil.rmtree(out / IMAGES / "brain-00001")
    (out / IMAGES / "femur-00002" / "shard.json").unlink()
    before = stamps(out)
    drawn(backbone, out)
    changed = {name.split("/")[2] for name, stamp in stamps(out).items() if before.get(name) != stamp}
    assert changed == {"brain-00001", "femur-00002"}
    assert {**tree(out), ".sources.json": b""} == {**tree(whole), ".sources.json": b""}


def test_a_damaged_shard_stops_with_what_to_do(tmp_path: Path, backbone: Path, whole: Path) -> None:
    mine = job(backbone, tmp_path / "set")
    generate_set(mine, InProcess(), part=(0, 2))
    record = mine.out / IMAGES / "brain-00000" / "shard.json"
    record.write_text("{")
    with pytest.raises(ShardError, match=r"brain-00000/shard\.json: cannot be read .* remove its folder"):
        generate_set(mine, InProcess())
    assert not is_complete(mine.out)
    shutil.rmtree(record.parent)
    assert generate_set(mine, InProcess()) == []
    assert tree(mine.out) == tree(whole)


# --- pictures that are equal, and what is rejected


SAME: dict[tuple[str, int, int], tuple[int, int]] = {
    ("brain", 5, 0): (1, 0),
    ("brain", 7, 0): (1, 0),
    ("brain", 7, 1): (5, 1),
    ("femur", 3, 0): (2, 0),
}
"""Which attempt each of these looks like: brain 5 and 7 like brain 1; 7 then like 5 as it is kept; femur 3 like 2."""


@pytest.fixture
def equal_seeds(monkeypatch: pytest.MonkeyPatch) -> None:
    def seed(cfg: GenerateConfig, plane: Plane, index: int, attempt: int) -> int:
        return image_seed(cfg, plane, *SAME.get((plane, index, attempt), (index, attempt)))

    monkeypatch.setattr("fulora.diffusion.sampling.image_generator.image_seed", seed)


@pytest.mark.usefixtures("equal_seeds")
def test_of_equal_pictures_in_two_shards_the_later_one_is_generated_again(tmp_path: Path, backbone: Path) -> None:
    changes = {"max_rejected": 1.0}
    whole = drawn(backbone, tmp_path / "whole", **changes)
    rejected = {
        shard.name: [(each.index, each.attempt, each.fault) for each in read_shard(shard, whole).rejected]
        for shard in shards_of(complete())
    }
    assert {name: found for name, found in rejected.items() if found} == {
        "brain-00002": [(5, 0, "duplicate")],
        "brain-00003": [(7, 0, "duplicate"), (7, 1, "duplicate")],
        "femur-00001": [(3, 0, "duplicate")],
    }
    rows = {row.image_id: row for row in ImageSet(whole, "").rows()}
    assert len({row.sha256 for row in rows.values()}) == 16
    cfg = complete()
    assert rows["synthetic_brain_00005"].seed == str(image_seed(cfg, "brain", 5, 1))
    assert rows["synthetic_brain_00007"].seed == str(image_seed(cfg, "brain", 7, 2))
    assert rows["synthetic_femur_00003"].seed == str(image_seed(cfg, "femur", 3, 1))
    assert rows["synthetic_brain_00001"].seed == str(image_seed(cfg, "brain", 1))
    counts = read_counts(whole)
    assert counts is not None
    assert (counts.images, counts.drawn) == (16, 20)
    assert counts.rejected == {"brain": {"duplicate": 3}, "femur": {"duplicate": 1}}
    for shard in shards_of(cfg):
        for row in read_shard(shard, whole).rows:
            assert read_row(whole / "train" / row.file_name)[0] == row == rows[row.image_id]
    order = [shard.name for shard in shards_of(cfg)]
    for number in range(3):
        mine = job(backbone, tmp_path / str(number), **changes)
        random.Random(number).shuffle(order)
        for name in order:
            generate_shard(ProcessCache(), mine, name)
        assemble_set(ProcessCache(), mine)
        assert tree(mine.out) == tree(whole)


@pytest.mark.usefixtures("equal_seeds")
def test_a_set_with_equal_pictures_goes_on_after_it_was_stopped_while_put_together(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = drawn(backbone, tmp_path / "whole", max_rejected=1.0)
    mine = job(backbone, tmp_path / "set", max_rejected=1.0)
    made: list[str] = []
    real = generation.make_shard

    def stopped(shard: Shard, *arguments: object, **named: object) -> None:
        made.append(shard.name)
        if len(made) == 10:  # the eight, and one of those with an equal picture
            raise KeyboardInterrupt
        real(shard, *arguments, **named)  # type: ignore[arg-type]

    for module in (generation, assembly):
        monkeypatch.setattr(module, "make_shard", stopped)
    with pytest.raises(KeyboardInterrupt):
        generate_set(mine, InProcess())
    assert made[8:] == ["brain-00002", "brain-00003"]
    assert generate_set(mine, InProcess()) == []
    assert made[10:] == ["brain-00003"]  # and femur 3 was generated again in its shard at once
    assert tree(mine.out) == tree(whole)


def test_two_planes_may_not_have_a_picture_in_common_either(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one prompt for both, and seeds that do not know the plane, all first attempts are equal."""
    monkeypatch.setattr(
        "fulora.diffusion.sampling.image_generator.image_seed", lambda cfg, plane, index, attempt: 10 * index + attempt
    )
    prompts = {"brain": "a photo", "femur": "a photo"}
    out = drawn(backbone, tmp_path / "set", prompts=prompts, max_rejected=1.0, per_class=4)
    rows = ImageSet(out, "").rows()
    assert [row.seed for row in rows] == ["0", "10", "20", "30", "1", "11", "21", "31"]


def test_rejected_pictures_are_counted_and_reported(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = ImageGenerator.generate

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        black = np.zeros((32, 32), np.uint8)
        return [
            replace(each, pixels=black) if each.request.attempt == 0 and each.request.index % 4 == 1 else each
            for each in real(self, requests)
        ]

    monkeypatch.setattr(ImageGenerator, "generate", draw)
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)
    out = drawn(backbone, tmp_path / "set")
    counts = read_counts(out)
    assert counts is not None
    assert (counts.images, counts.drawn) == (16, 20)
    assert counts.rejected == {"brain": {"black": 2}, "femur": {"black": 2}}
    assert "brain: 2 images were rejected and generated again (2 black)" in notes
    assert not (out / "rejected").exists()
    for row in ImageSet(out, "").rows():
        assert json.loads(row.recipe)["attempt"] == (int(row.image_id[-5:]) % 4 == 1)


def test_a_damaged_backbone_stops_a_set_and_a_repaired_one_continues_it(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch, whole: Path
) -> None:
    real = ImageGenerator.generate
    with monkeypatch.context() as patched:
        patched.setattr(
            ImageGenerator,
            "generate",
            lambda self, requests: [replace(each, finite=False) for each in real(self, requests)],
        )
        with pytest.raises(RejectedImagesError, match=r"brain-00000: 6 images rejected \(6 nan\)"):
            generate_set(job(backbone, tmp_path / "set"), InProcess())
    kept = list((tmp_path / "set" / "rejected" / "brain-00000").iterdir())
    assert len(kept) == 6
    drawn(backbone, tmp_path / "set")
    assert tree(tmp_path / "set") == tree(whole)


# --- what else may be in the folder


def test_a_file_or_a_folder_with_something_else_is_refused(tmp_path: Path, backbone: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(GenerationError, match="file: is a file; give a folder for the images"):
        generate_set(job(backbone, tmp_path / "file"), InProcess())
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("words")
    with pytest.raises(GenerationError, match=r"thesis: holds something else \(chapter\.tex\); give a new folder"):
        generate_set(job(backbone, tmp_path / "thesis"), InProcess())
    assert list(tree(tmp_path / "thesis")) == ["chapter.tex"]


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": 1}, r"config\.seed=0 instead of 1"),
        ({"sampler": "euler", "seed": 1}, r'config\.sampler="dpm\+\+" instead of "euler"'),
        ({"planes": ("brain",)}, r'config\.planes=\["brain", "femur"\] instead of \["brain"\]'),
        ({"guidance_interval": (0.0, 0.5)}, r"config\.guidance_interval=\[0\.0, 1\.0\] instead of \[0\.0, 0\.5\]"),
        (
            {"prompts": {"brain": "a head", "femur": "a leg"}},
            r'config\.prompts\.brain="a photo of .*" instead of "a head"',
        ),
        ({"batch_size": 4}, r"config\.batch_size=2 instead of 4"),
        ({"lora_text_strength": 0.5}, r"config\.lora_text_strength=null instead of 0\.5"),
    ],
)
def test_another_plan_is_refused_with_the_first_setting_that_differs(
    tmp_path: Path, backbone: Path, changes: dict[str, object], message: str
) -> None:
    begin_set(ProcessCache(), job(backbone, tmp_path))
    before = tree(tmp_path)
    for act in (generate_set, lambda job, engine: begin_set(ProcessCache(), job)):
        with pytest.raises(GenerationError, match=f"holds another set, with {message}; give another folder, or the"):
            act(job(backbone, tmp_path, **changes), InProcess())
    assert tree(tmp_path) == before


def test_other_weights_are_another_plan(tmp_path: Path, backbone: Path) -> None:
    mine = job(backbone, tmp_path)
    begin_set(ProcessCache(), mine)
    used = mine.inputs.used.model_copy(update={"digest": "f00"})
    with pytest.raises(GenerationError, match=r'with backbone\.digest="\w{16}" instead of "f00"'):
        generate_set(replace(mine, inputs=replace(mine.inputs, used=used)), InProcess())


def test_a_setting_that_changes_no_result_is_no_other_plan(tmp_path: Path, backbone: Path) -> None:
    begin_set(ProcessCache(), job(backbone, tmp_path))
    begin_set(ProcessCache(), job(backbone, tmp_path, device="auto"))


@pytest.mark.parametrize("text", ["", "{", '{"config": {}}'])
def test_a_damaged_plan_is_named(tmp_path: Path, backbone: Path, text: str) -> None:
    (tmp_path / "generation.json").write_text(text)
    with pytest.raises(GenerationError, match=r"(?s)generation\.json: cannot be read; give a new folder \("):
        generate_set(job(backbone, tmp_path), InProcess())


def test_a_set_goes_on_with_how_it_was_begun(tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    mine = job(backbone, tmp_path)
    begin_set(ProcessCache(), mine)
    plan = json.loads((tmp_path / "generation.json").read_text())
    notes: list[str] = []
    monkeypatch.setattr(progress, "note", notes.append)

    def begun(**compute: object) -> ImageGenerator:
        changed = plan | {"compute": plan["compute"] | compute, "versions": plan["versions"] | {"torch": "1.0"}}
        (tmp_path / "generation.json").write_text(json.dumps(changed))
        return generator_of(ProcessCache(), mine)

    with pytest.raises(GenerationError, match=r"was begun on cuda, and this is cpu.*go on with device=cuda"):
        begun(device="cuda")
    generator = begun(layout="channels_last", hardware="another")
    assert (generator.compute.layout, generator.compute.hardware) == ("channels_last", plan["compute"]["hardware"])
    assert notes == [
        f"begun on another, continued on {plan['compute']['hardware']}: last digits may differ",
        "begun with torch 1.0, which is another version now: images may differ",
    ]
    assert read_plan(tmp_path).compute.layout == "channels_last"


# --- what pictures say


def test_every_picture_carries_the_whole_recipe_and_the_manifest_has_the_same(whole: Path, backbone: Path) -> None:
    plan = json.loads((whole / "generation.json").read_text())
    lines = (whole / "train" / "metadata.jsonl").read_text().splitlines()
    assert len(lines) == 16
    for line in map(json.loads, lines):
        with Pil.open(whole / "train" / line["file_name"]) as image:
            assert json.loads(image.text["fulora"]) == line  # type: ignore[attr-defined]
            assert image.text["origin"] == "synthetic"  # type: ignore[attr-defined]
        index = int(line["image_id"][-5:])
        seed = image_seed(settings(), line["plane"], index)
        assert json.loads(line["recipe"]) == {
            "synthetic": True,
            "plane": line["plane"],
            "set_seed": 0,
            "index": index,
            "attempt": 0,
            "seed": seed,
            "prompt": f"a photo of fetal {line['plane']}",
            "negative_prompt": "",
            "clip_skip": 1,
            "width": 32,
            "height": 32,
            "colour": "gray",
            "sampler": "dpm++",
            "steps": 2,
            "guidance_scale": 3.0,
            "guidance_interval": [0.0, 1.0],
            "backbone": {"name": backbone.name, "digest": inputs(backbone).used.digest},
            "loras": [],
            "start": None,
            "compute": plan["compute"],
            "versions": {name: plan["versions"][name] for name in ("fulora", "torch", "diffusers", "transformers")},
        }
        assert (line["seed"], line["caption"]) == (str(seed), f"a photo of fetal {line['plane']}")


def test_every_picture_in_the_folder_is_marked_as_synthetic(whole: Path) -> None:
    pictures = list(whole.rglob("*.png"))
    assert len(pictures) == 17
    for path in pictures:
        mark = read_mark(path)
        assert mark is not None
        assert mark.synthetic
        assert mark.generator == read_plan(whole).backbone.digest


def test_the_overview_has_a_row_for_each_plane(whole: Path) -> None:
    with Pil.open(whole / "overview.png") as image:
        assert image.size == (72 + 8 * (128 + 4), 128 + 4 + 128)


def test_hugging_face_opens_the_folder_as_it_is(tmp_path: Path, whole: Path) -> None:
    datasets = pytest.importorskip("datasets")
    opened = datasets.load_dataset("imagefolder", data_dir=str(whole), cache_dir=str(tmp_path))
    assert {name: len(split) for name, split in opened.items()} == {"train": 16}
    images = ImageSet(whole, "")
    found = {row["image_id"]: row for row in opened["train"]}
    for row in images.rows():
        there = found[row.image_id]
        np.testing.assert_array_equal(np.asarray(there.pop("image")), images.pixels(row))
        assert {**there, "file_name": row.file_name} == row.to_json()


def test_no_file_tells_the_machine_or_the_user_and_only_one_where_the_weights_are(
    whole: Path, backbone: Path, tmp_path: Path
) -> None:
    said = [str(tmp_path.parent), str(backbone.parent), str(Path.home()), str(Path.cwd())]
    user = getpass.getuser()
    for name, content in tree(whole).items():
        assert not [text for text in said if text.encode() in content], name
        assert f"/{user}".encode() not in content, name
    sources = json.loads((whole / ".sources.json").read_text())
    assert not Path(sources["backbone"]).is_absolute()
    assert (whole / sources["backbone"]).resolve() == backbone.resolve()
    assert {key: value for key, value in sources.items() if key != "backbone"} == {
        "on_disk": True,
        "revision": None,
        "architecture": None,
        "loras": [],
        "start": None,
        "control": None,
    }


# --- provenance of a set


def known_to(backbone: Path, folder: Path, *patients: str) -> Path:
    """A copy of the backbone with the provenance of patients."""
    shutil.copytree(backbone, folder)
    Provenance(entries=(ProvenanceEntry(name="backbone b", patients=patients),)).write(folder)
    return folder


def test_patients_of_weights_and_start_images_are_in_the_provenance_of_the_set(tmp_path: Path, backbone: Path) -> None:
    start = real_set(tmp_path / "real", ["p1", "p2"])
    with_start = replace(inputs(known_to(backbone, tmp_path / "b", "s/A/p9", "s/A/p1")), start=start)
    mine = GenerationJob(tmp_path / "set", complete(planes=("femur",), per_class=5), with_start, FETAL)
    assert generate_set(mine, InProcess()) == []
    images = ImageSet(mine.out, "")
    own, of_backbone = images.provenance().entries
    assert (own.name, own.parents) == (f"synthetic images by {with_start.fingerprint()}", ("backbone b",))
    assert (own.patients, of_backbone.patients) == (("s/A/p1", "s/A/p2"), ("s/A/p9", "s/A/p1"))
    recipes = [json.loads(row.recipe) for row in images.rows()]
    by_id = {row.image_id: row for row in ImageSet(start, "").rows()}
    order = sorted(name for name in by_id if "femur" in name)
    assert [recipe["start"]["image_id"] for recipe in recipes] == [*order, order[0]]
    assert all(by_id[each["start"]["image_id"]].sha256 == each["start"]["sha256"] for each in recipes)
    assert {recipe["start"]["strength"] for recipe in recipes} == {0.75}
    assert all(row.patient_key == "" for row in images.rows())


def test_a_set_whose_patients_are_tested_on_may_not_be_mixed_in(tmp_path: Path, backbone: Path) -> None:
    """The rules of image sets hold for what was drawn, too: by its LoRA, and by what it was drawn over."""
    real = real_set(tmp_path / "real", ["p1"], held_out="p2")
    config = MixConfig(ratio={"brain": 1.0, "femur": 1.0}, filters=("blank", "duplicate"))
    for name, patients, allowed in (("fine", ("s/A/p1",), True), ("leak", ("s/A/p1", "s/A/p2"), False)):
        weights = known_to(backbone, tmp_path / f"backbone {name}", *patients)
        mine = GenerationJob(tmp_path / name, complete(), inputs(weights), FETAL)
        assert generate_set(mine, InProcess()) == []
        out = tmp_path / f"mixed {name}"
        out.mkdir()
        if allowed:
            mixed = mix.function(out, config, ImageSet(real, "r"), ImageSet(mine.out, "s"))
            assert Counter(row.origin for row in mixed.rows()) == {"real": 4, "synthetic": 4}
            assert mixed.provenance().patients() == ["s/A/p1"]
            assert all(json.loads(row.recipe)["synthetic"] for row in mixed.rows() if row.origin == "synthetic")
        else:
            with pytest.raises(
                ImageSetError,
                match=r"s/A/p2: .* was trained on by backbone b, through synthetic",
            ):
                mix.function(out, config, ImageSet(real, "r"), ImageSet(mine.out, "s"))


def test_start_images_with_other_pixels_are_another_plan(tmp_path: Path, backbone: Path) -> None:
    start, other = real_set(tmp_path / "real", ["p1"]), real_set(tmp_path / "other", ["p2"])
    begin_set(
        ProcessCache(), GenerationJob(tmp_path / "set", complete(), replace(inputs(backbone), start=start), FETAL)
    )
    with pytest.raises(GenerationError, match=r'holds another set, with start="\w{64}" instead of "\w{64}"'):
        begin_set(
            ProcessCache(), GenerationJob(tmp_path / "set", complete(), replace(inputs(backbone), start=other), FETAL)
        )
    with pytest.raises(GenerationError, match=r'holds another set, with start="\w{64}" instead of ""'):
        begin_set(ProcessCache(), job(backbone, tmp_path / "set"))


# --- what it costs


def test_weights_are_loaded_once_however_many_shards(
    tmp_path: Path, backbone: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[Path | str] = []
    target = "fulora.diffusion.sets.begin_set.build_generator"
    monkeypatch.setattr(target, lambda *given: [loaded.append(backbone), build_generator(*given)][1])
    drawn(backbone, tmp_path / "set")
    assert len(loaded) == 1
