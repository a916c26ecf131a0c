"""`fulora generate` as a user calls it: what it draws, says and refuses."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from command_inside import QUICK, called, pictures, tree
from command_line import fulora
from PIL import Image as Pil

from fulora.data.image_set import ImageSet
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.lora.files import FILE, save_lora
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.recipe import Recipe, read_row
from pipelines.backbone_names import ASSETS

PLANES = label_set("fetal_planes").names

SIX = ("generate", "--plane", "brain", "--count", "6", "--seed", "3", *QUICK)
ONE = ("generate", "--plane", "brain", "--count", "1", *QUICK)
TWO = ("generate", "--plane", "brain", "--count", "2", *QUICK)


@pytest.fixture(scope="module")
def six(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six brains, by a process of their own."""
    folder = tmp_path_factory.mktemp("six") / "set"
    done = fulora(*SIX, "--out", folder)
    assert (done.returncode, done.stdout) == (0, f"{folder}\n")
    said = [line.strip() for line in done.stderr.splitlines()]
    assert said[0].startswith("computed on cpu (")
    assert said[0].endswith("): fp32, contiguous, 2 at once, 1 thread")
    assert said[1].startswith("synthetic: 6 of 6 images, ")
    assert len(said) == 2
    return folder


@pytest.fixture(scope="module")
def lora(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a LoRA of the embedded backbone, trained with clip skip 2 as its header says."""
    folder = tmp_path_factory.mktemp("lora")
    cfg = LoraConfig(rank=2, alpha=2, clip_skip=2)
    pipe = load_backbone(ASSETS / "diffusion")
    add_lora(pipe, cfg)
    random = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in all_lora_parameters(pipe):
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=random))
    save_lora(pipe, folder / FILE, cfg=cfg)
    save_lora(pipe, folder / "kohya" / "kohya.safetensors", format="kohya")
    return folder


def recipes(folder: Path) -> list[Recipe]:
    return [read_row(path)[1] for path in sorted(folder.rglob("*.png")) if path.name != "overview.png"]


def sizes(folder: Path) -> set[tuple[int, int]]:
    found = set()
    for path in (folder / "train").rglob("*.png"):
        with Pil.open(path) as image:
            found.add(image.size)
    return found


def stamps(folder: Path) -> dict[Path, tuple[int, int]]:
    return {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.rglob("*")}


# --- what it draws


def test_a_set_of_a_plane(six: Path) -> None:
    assert sorted(path.name for path in six.iterdir()) == [
        ".sources.json",
        "fulora_files.json",
        "gate.json",
        "generation.json",
        "label_set.json",
        "overview.png",
        "provenance.json",
        "train",
    ]
    rows = ImageSet(six, "").rows()
    names = [f"images/brain-0000{i // 2}/synthetic_brain_0000{i}.png" for i in range(6)]
    assert [row.file_name for row in rows] == names
    assert {(row.plane, row.split, row.origin) for row in rows} == {("brain", "train", "synthetic")}
    said = [(recipe.set_seed, recipe.index, recipe.steps, recipe.backbone.name) for recipe in recipes(six)]
    assert said == [(3, index, 2, "demo") for index in range(6)]
    assert sizes(six) == {(64, 64)}


def test_parts_in_one_folder_are_one_run_in_any_order(tmp_path: Path, six: Path) -> None:
    out = tmp_path / "set"
    for count, part in enumerate((2, 0, 1), 1):
        done = called(*SIX, "--out", out, "--shard", f"{part}/3")
        assert done.code == 0
        assert done.stdout == (f"{out}\n" if count == 3 else f"{out}: {count} of 3 shards are complete\n")
        assert "synthetic: 2 of 2 images" in done.stderr
    # Where the backbone is, seen from the set's folder, is the one thing that may differ.
    assert tree(out) | {".sources.json": b""} == tree(six) | {".sources.json": b""}


def test_parts_in_folders_of_their_own_hold_the_same_pictures(tmp_path: Path, six: Path) -> None:
    found: dict[str, bytes] = {}
    for part in (1, 2, 0):
        out = tmp_path / str(part)
        done = called(*SIX, "--out", out, "--shard", f"{part}/3")
        assert (done.code, done.stdout) == (0, f"{out}: 1 of 3 shards are complete\n")
        found |= pictures(out)
    assert found == pictures(six)


def test_a_repeated_command_does_nothing(six: Path) -> None:
    before = stamps(six)
    for more in ((), ("--shard", "1/3")):
        done = called(*SIX, "--out", six, *more)
        assert (done.code, done.stdout, done.stderr) == (0, f"{six}\n", "")
    assert stamps(six) == before


def test_a_dry_run_says_what_it_takes_and_makes_nothing(tmp_path: Path, six: Path) -> None:
    done = called(*SIX, "--plane", "femur", "--out", tmp_path / "new" / "set", "--shard", "1/2", "--dry-run")
    assert done.code == 0
    lines = [line.split(maxsplit=1) for line in done.stdout.splitlines()]
    assert [line[0] for line in lines] == ["images", "shards", "weights", "sampling", "work", "disk"]
    said = dict(lines)
    assert said["images"] == "6, 6 of each of brain, femur, 64x64 px, gray"
    assert said["shards"] == "3 of 6, of 2 images; 0 are complete"
    assert said["weights"] == "demo"
    assert said["sampling"] == "dpm++, 2 steps, guidance 3, seed 3"
    assert said["work"] == "6 calls of the denoiser, for 2 images each"
    assert said["disk"].startswith("0.00 GB at most, of ")
    assert not list(tmp_path.iterdir())
    before = stamps(six)
    assert "3 of 3, of 2 images; 3 are complete" in called(*SIX, "--out", six, "--dry-run").stdout
    assert stamps(six) == before


def test_a_dry_run_tells_a_size_that_the_backbone_was_not_made_for(tmp_path: Path, six: Path) -> None:
    large = called(*SIX, "--out", tmp_path / "large", "--size", "128x64", "--dry-run").stdout
    assert "note: image_size_px: 128x64 px, and the backbone was made for 64x64 px" in large
    assert "note:" not in called(*SIX, "--out", six, "--dry-run").stdout


def test_a_size_planes_and_prompts(tmp_path: Path) -> None:
    planes = ("--plane", "femur", "--plane", "brain", "--plane", "femur")
    settings = ("--count", "1", "--size", "96x64", *QUICK, "prompts.brain=a head")
    done = called("generate", *planes, *settings, "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    rows = ImageSet(tmp_path / "set", "").rows()
    assert [(row.plane, row.caption) for row in rows] == [("femur", "a photo of fetal femur"), ("brain", "a head")]
    assert {(row.width, row.height) for row in rows} == sizes(tmp_path / "set") == {(96, 64)}
    upright = called(*ONE, "image_size_px=[64,96]", "--out", tmp_path / "upright")
    assert upright.code == 0, upright.stderr
    assert sizes(tmp_path / "upright") == {(64, 96)}


def test_all_planes_and_quiet(tmp_path: Path) -> None:
    done = called("generate", "--count", "1", *QUICK, "batch_size=1", "--out", tmp_path / "set", "-q")
    assert (done.code, done.stdout, done.stderr) == (0, f"{tmp_path / 'set'}\n", "")
    assert tuple(row.plane for row in ImageSet(tmp_path / "set", "").rows()) == PLANES


# --- LoRAs


def test_a_lora_with_its_strengths_and_its_clip_skip(tmp_path: Path, lora: Path) -> None:
    done = called(*TWO, "--lora", f"{lora / FILE}:0.8:0.5", "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    assert f"LoRA {FILE}: its training patients are unknown" in done.stderr
    assert "clip_skip" not in done.stderr
    recipe = recipes(tmp_path / "set")[0]
    assert [(used.name, used.strength, used.text_strength) for used in recipe.loras] == [(FILE, 0.8, 0.5)]
    assert recipe.clip_skip == 2
    plain = called(*TWO, "clip_skip=2", "--out", tmp_path / "plain")
    assert plain.code == 0
    assert not set(pictures(tmp_path / "set").values()) & set(pictures(tmp_path / "plain").values())


def test_a_folder_is_its_lora_and_settings_give_its_strengths(tmp_path: Path, lora: Path) -> None:
    shutil.copytree(lora, tmp_path / "lora")
    Provenance(entries=(ProvenanceEntry(name="LoRA l", patients=("spain/A/1",)),)).write(tmp_path / "lora")
    for out, given in (("said", ("lora_strength=0.7", "lora_text_strength=0.2")), ("plain", ())):
        done = called(*TWO, "--lora", tmp_path / "lora", *given, "--out", tmp_path / out)
        assert (done.code, "training patients" in done.stderr) == (0, False), done.stderr
    strengths = [[(x.strength, x.text_strength) for x in recipes(tmp_path / out)[0].loras] for out in ("said", "plain")]
    assert strengths == [[(0.7, 0.2)], [(1.0, 1.0)]]
    book = ImageSet(tmp_path / "plain", "").provenance()
    assert [entry.name for entry in book.entries[1:]] == ["LoRA l", "backbone embedded in fulora"]
    assert book.entries[1].patients == ("spain/A/1",)


def test_a_lora_of_an_earlier_version_is_refused_before_anything_is_drawn(tmp_path: Path, lora: Path) -> None:
    shutil.copytree(lora, tmp_path / "lora")
    (tmp_path / "lora" / "train_patients.json").write_text('["spain/A/1"]')
    done = called(*TWO, "--lora", tmp_path / "lora", "--out", tmp_path / "set")
    assert (done.code, done.stdout) == (2, "")
    assert "was made by an earlier version of fulora" in done.stderr
    assert not (tmp_path / "set").exists()


def test_another_clip_skip_than_that_of_the_lora_is_noted(tmp_path: Path, lora: Path) -> None:
    done = called(*TWO, "--lora", lora, "clip_skip=1", "--out", tmp_path / "set", "--dry-run")
    assert done.code == 0
    assert f"{FILE} was trained with clip_skip=2, and is used with 1" in done.stderr
    assert "weights     demo + lora.safetensors" in done.stdout


@pytest.mark.parametrize(("said", "expected"), [("2", 2), ("None", 1), ("0", 1)])
def test_kohyas_header_is_text(tmp_path: Path, lora: Path, said: str, expected: int) -> None:
    path = tmp_path / "kohya.safetensors"
    whole = (lora / "kohya" / path.name).read_bytes()
    length = int.from_bytes(whole[:8], "little")
    header = json.loads(whole[8 : 8 + length])
    header["__metadata__"]["ss_clip_skip"] = said
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + whole[8 + length :])
    done = called(*TWO, "--lora", path, "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    assert "clip_skip" not in done.stderr
    assert recipes(tmp_path / "set")[0].clip_skip == expected


def test_two_loras_one_of_which_is_used_with_another_clip_skip(tmp_path: Path, lora: Path) -> None:
    both = ("--lora", f"{lora}:.5", "--lora", f"{lora / 'kohya' / 'kohya.safetensors'}:2")
    done = called(*TWO, *both, "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    assert [used.strength for used in recipes(tmp_path / "set")[0].loras] == [0.5, 2.0]


# --- from images, and by configs


@pytest.fixture(scope="module")
def phantoms(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A curated set: four brains for training, and one femur that is not."""
    folder = tmp_path_factory.mktemp("phantoms")
    (folder / "phantoms.yaml").write_text(
        "study: curation\nsets:\n  phantoms:\n    image_size_px: 64\n    sources:\n"
        "    - {kind: phantoms, role: train, sites: [A], planes: [brain], per_plane: 4, seed: 1}\n"
        "    - {kind: phantoms, role: test, sites: [A], planes: [femur], per_plane: 1, first_patient: 9, seed: 1}\n"
    )
    done = called("run", folder / "phantoms.yaml", "--work", folder / "work", "--quiet")
    assert done.code == 0, done.stderr
    return Path(done.stdout.strip())


def test_image_to_image_draws_over_the_training_images_in_turn(tmp_path: Path, phantoms: Path) -> None:
    settings = ("generate", "--plane", "brain", "--count", "5", *QUICK, "start_strength=0.5", "steps=4")
    done = called(*settings, "--start", phantoms, "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    there = sorted(ImageSet(phantoms, "").iter_rows("train"), key=lambda row: row.image_id)
    assert len(there) == 4
    found = [recipe.start for recipe in recipes(tmp_path / "set")]
    assert [start and (start.image_id, start.sha256, start.strength) for start in found] == [
        (row.image_id, row.sha256, 0.5) for row in (*there, there[0])
    ]
    (over, _) = ImageSet(tmp_path / "set", "").provenance().entries
    assert set(over.patients) == {row.patient_key for row in there}
    again = called(*settings, "--out", tmp_path / "set")
    assert (again.code, again.stdout) == (2, "")
    assert again.stderr.startswith(f"fulora: {tmp_path / 'set'}: holds another set, with start=")


def test_a_plane_without_training_images_cannot_be_drawn_over(tmp_path: Path, phantoms: Path) -> None:
    done = called(*ONE, "--plane", "femur", "--start", phantoms, "--out", tmp_path / "set")
    assert (done.code, done.stdout) == (2, "")
    assert "has no training image of femur to start from; leave that plane out" in done.stderr


def test_the_papers_settings_with_a_small_backbone(tmp_path: Path) -> None:
    paper = ("generate", "--config", "paper/fu_lora", "--size", "64")
    done = called(*paper, "--plane", "brain", "--count", "2", *QUICK, "--out", tmp_path / "set")
    assert done.code == 0, done.stderr
    found = [(recipe.sampler, recipe.steps, recipe.guidance_scale, recipe.clip_skip) for recipe in recipes(tmp_path)]
    assert found == [("euler", 2, 7.0, 2), ("unipc", 2, 7.0, 2)]
    dry = called(*paper, "--out", tmp_path / "new", "--dry-run", "device=cpu")
    assert "images      5000, 1000 of each of abdomen, brain, femur, thorax, other, 64x64 px, gray" in dry.stdout
    assert "sampling    euler, unipc, 20 steps, guidance 7, seed 0" in dry.stdout


# --- what it refuses

BAD: dict[str, tuple[tuple[str, ...], str]] = {
    "count 0": (("--count", "0"), "per_class: Input should be greater than 0 (given: 0)"),
    "count": (("--count", "many"), "Invalid value for '--count'"),
    "seed": (("--seed", "x"), "Invalid value for '--seed'"),
    **{
        f"shard {said}": (("--shard", said), f"--shard {said}: give two numbers such as 0/4; the first counts from 0")
        for said in ("4/4", "5/4", "-1/4", "a/b", "1", "1/", "/4", "0/0")
    },
    **{
        f"size {said}": (
            ("--size", said),
            f"--size {said}: give the side of a square, such as 512, or width and height",
        )
        for said in ("60", "0", "64x", "axb", "x", "-64", "64x60", "0x64", "64x64x64")
    },
    "no lora": (("--lora", "no.safetensors:0.8"), "--lora no.safetensors:0.8: no.safetensors not found; give FILE,"),
    "a folder without a lora": (("--lora", "strange"), "--lora strange: lora.safetensors not found; give FILE,"),
    **{
        f"strength {said}": (
            ("--lora", f"file.safetensors:{said}"),
            f"--lora file.safetensors:{said}: the strength {said.rsplit(':')[-1]!r} is not allowed; give a number of",
        )
        for said in ("-1", "nan", "1e400", "inf", "strong", "0.8:-0.5", "")
    },
    "no lora at all": (("--lora", "file.safetensors"), "file.safetensors: not a complete safetensors file"),
    "a lora's strength": (
        ("--lora", "file.safetensors", "lora_strength=[1]"),
        "lora_strength: Input should be a valid",
    ),
    "no backbone": (("--backbone", "nothing"), "nothing: there is no such folder or file. Give a folder in diffusers'"),
    "no hub": (("--backbone", "no/thing", "--revision", "main"), "no/thing: cannot be downloaded from the hub: "),
    "a checkpoint": (
        ("--backbone", "file.ckpt"),
        "file.ckpt: cannot be loaded as a Stable Diffusion: only .safetensors",
    ),
    "no start": (("--start", "strange"), "--start strange: is no image set with training images; `fulora data curate"),
    "no config": (("--config", "nope"), "nope: no such config. Shipped: demo, "),
    "another config": (("--config", "real_sets"), "real_sets: it has no `generate:` part to take settings from"),
    "a key": (("stepz=3",), "stepz: unknown key; did you mean 'steps'?"),
    "no setting": (("junk",), "junk: an override has the form key.sub=value"),
    "a label set": (("--labels", "nope"), "nope: no label set; shipped: brain_planes, fetal_planes, fetal_planes_db"),
    "a class": (("--plane", "kidney"), "'kidney': no class of the label set fetal_planes; it has abdomen, brain,"),
    "a prompt": (("prompts.kidney=x",), "generate.prompts: 'kidney': no class of the label set fetal_planes; it has"),
    "prompts": (("prompts=5",), "prompts: Input should be a valid dictionary (given: 5)"),
    "device": (("device=cuda",), "device=cuda: torch "),
    "an odd device": (("device=abacus",), "device=abacus: torch cannot use it here; use device=auto, cpu, cuda or mps"),
    "processes": (("--processes", "0"), "Invalid value for '--processes'"),
    "two ways": (
        ("--processes", "2", "--engine", "ray"),
        "--processes is for this machine; with --engine ray the cluster",
    ),
    "engine": (("--engine", "abacus"), "Invalid value for '--engine'"),
    "something else": (("--out", "strange"), "strange: holds something else (notes.txt); give a new folder"),
    "for several": (("--out", "strange", "--processes", "2"), "strange: holds something else (notes.txt)"),
    "a file": (("--out", "file.ckpt"), "file.ckpt: is a file; give a folder for the images"),
    "under a file": (("--out", "file.ckpt/set"), "file.ckpt/set: file.ckpt is a file; --out names"),
    "not writable": (("--out", "/proc/set"), "No such file or directory: '/proc/set'"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_input_is_one_clear_message_and_nothing_is_written(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    arguments, message = BAD[name]
    if name == "device" and torch.cuda.is_available():
        pytest.skip("there is a GPU")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "strange").mkdir()
    for file in ("strange/notes.txt", "file.safetensors", "file.ckpt"):
        (tmp_path / file).write_text("x")
    before = tree(tmp_path)
    done = called(*ONE, "--quiet", "--out", "new", *arguments)
    assert (done.code, done.stdout) == (2, "")
    assert message in done.stderr
    assert "\nfulora" not in done.stderr
    assert tree(tmp_path) == before


def test_a_count_has_to_be_given(tmp_path: Path) -> None:
    done = called("generate", "--plane", "brain", "--out", tmp_path / "new")
    assert (done.code, done.stdout, done.stderr) == (
        2,
        "",
        "fulora: --count is missing: how many images of each plane?\n",
    )
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (("--seed", "4"), "config.seed=3 instead of 4"),
        (("--plane", "femur"), 'config.planes=["brain"] instead of ["brain", "femur"]'),
        (("steps=3",), "config.steps=2 instead of 3"),
        (("prompts.brain=a head",), 'config.prompts.brain="a photo of fetal brain" instead of "a head"'),
    ],
)
def test_other_settings_in_the_folder_of_a_set_are_refused(six: Path, other: tuple[str, ...], said: str) -> None:
    before = stamps(six)
    for more in ((), ("--dry-run",), ("--processes", "2")):
        done = called(*SIX, "--out", six, *other, *more)
        assert (done.code, done.stdout) == (2, "")
        assert (
            f"fulora: {six}: holds another set, with {said}; give another folder, or the same settings" in done.stderr
        )
    assert stamps(six) == before


def test_help_has_examples() -> None:
    done = fulora("generate", "--help")
    assert done.returncode == 0
    for example in (
        'fulora generate --lora kidneys/lora.safetensors --plane "left kidney" --count 100 --out left',
        "fulora generate --backbone sd15 --count 1000 --out synthetic --shard $SLURM_ARRAY_TASK_ID/16",
        "fulora generate --config paper/fu_lora --backbone sd15 --lora lora/lora.safetensors --out synthetic --dry-run",
    ):
        assert example in done.stdout
