"""`fulora lora train` as a user calls it."""

import json
import shutil
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import replace
from importlib import import_module
from pathlib import Path

import pytest
from command_line import fulora
from forked import Forked
from image_rows import image_row
from PIL import Image as Pil
from safetensors import safe_open
from typer.testing import CliRunner, Result

from fulora.data.column_types import Split
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import read_provenance
from fulora.data.weights import Backbone
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.sampling.inputs import weights_digest
from fulora.engine import InProcess
from fulora.intake.phantoms.scan import draw
from fulora.integrity import LIST
from fulora.stage import Source, stage
from fulora.workspace import Workspace
from pipelines.__main__ import app
from pipelines.backbone_names import ASSETS
from pipelines.jobs.train_lora import LoraJob

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")
PLANES = FETAL.names

SETTINGS = ["rank=2", "steps=2", "batch_size=2", "text_encoder_learning_rate=0", "log_every=1", "device=cpu"]


def run(cwd: Path, *arguments: str, expect: int = 0) -> subprocess.CompletedProcess[str]:
    done = fulora(*arguments, cwd=cwd)
    assert done.returncode == expect, done.stderr
    return done


def write_set(folder: Path, splits: Sequence[Split], first_patient: int = 0) -> ImageSet:
    pictures = []
    for place, split in enumerate(splits):
        plane, number = PLANES[place % 5], first_patient + place
        row = image_row(f"{plane}_{number}", plane=plane, split=split, source="phantoms", patient=str(number))
        pixels = draw(plane, range(number, number + 1), site="A", size_px=64, seed=0).images[0]
        pictures.append(Picture(row, pixels))
    ImageSet.write(folder, pictures, labels=FETAL)
    return ImageSet(folder, "")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_set(tmp_path_factory.mktemp("set") / "planes", ["train"] * 5 + ["validation"] * 2).path


@stage(version=1)
def copied(out: Path, backbone: Source) -> Backbone:
    shutil.copytree(backbone.path, out, dirs_exist_ok=True)
    return Backbone(out, "")


def test_a_backbone_has_the_digest_that_recipes_record(tmp_path: Path) -> None:
    """The fingerprint of an artifact: its `stage.json` says when it was made, so its content differs each time."""
    made = Workspace(tmp_path, InProcess()).run(copied, backbone=Source(ASSETS / "diffusion", "f"))
    job = LoraJob(tmp_path, tmp_path / "lora", LoraConfig(), work=tmp_path)
    assert replace(job, backbone=str(made.path)).name_and_digest == (made.path.name, made.fingerprint)
    assert job.name_and_digest == ("demo", weights_digest(ASSETS / "diffusion"))
    assert replace(job, backbone="owner/name", revision="0123").name_and_digest == ("owner/name", "0123")


def test_a_training_names_its_folder_and_is_not_repeated(images: Path, tmp_path: Path) -> None:
    command = ["lora", "train", str(images), *SETTINGS, "licence=cc-by-4.0", "--out", "mine"]
    first = run(tmp_path, *command)
    assert first.stdout.splitlines()[-1] == "mine/lora.safetensors"
    assert {line.split()[0] for line in first.stdout.splitlines()[2:-1]} >= {"loss"}
    assert sorted(path.name for path in (tmp_path / "mine").iterdir()) == [
        "fulora_files.json",
        "label_set.json",
        "lora.safetensors",
        "metrics.jsonl",
        "provenance.json",
    ]
    with safe_open(tmp_path / "mine" / "lora.safetensors", "pt") as file:
        header = json.loads(file.metadata()["fulora"])
    assert header["licence"] == "cc-by-4.0"
    assert header["facts"]["patients"] == 5
    assert header["facts"]["base_model"] == "demo"
    assert header["facts"]["captions"]["a photo of fetal brain"] == 1
    book = read_provenance(tmp_path / "mine")
    assert book is not None
    assert [(one.name, one.use, len(one.patients)) for one in book.entries] == [
        ("LoRA mine", "fitted", 5),
        ("LoRA mine", "chosen", 2),
        ("backbone embedded in fulora", "fitted", 1200),
    ]
    before = (tmp_path / "mine" / "lora.safetensors").stat().st_mtime_ns
    assert run(tmp_path, *command).stdout.splitlines()[-1] == "mine/lora.safetensors"
    assert (tmp_path / "mine" / "lora.safetensors").stat().st_mtime_ns == before
    for other in (["rank=4"], ["--prior", str(images)]):
        found = run(tmp_path, *command, *other, expect=2)
        assert "mine: it holds another finished LoRA" in found.stderr


def test_a_dry_run_counts_and_leaves_nothing(images: Path, tmp_path: Path) -> None:
    found = run(tmp_path, "lora", "train", str(images), *SETTINGS, "--out", "mine", "--dry-run")
    lines = found.stdout.splitlines()
    assert lines[0].split() == ["images", "64x64", "all"]
    assert ["brain", "1", "1"] in [line.split() for line in lines]
    assert ["all", "5", "5"] in [line.split() for line in lines]
    assert "2 images for the validation loss" in found.stdout
    assert "2 steps of 2 images: 0.8 epochs" in found.stdout
    assert "parameters are trained (UNet " in found.stdout
    assert "memory: about " in found.stdout
    assert "disk: " in found.stdout
    assert "checked: 5 patients and all pictures: none is in the validation split" in found.stdout
    assert not (tmp_path / "mine").exists()


def counting(monkeypatch: pytest.MonkeyPatch, name: str) -> list[object]:
    """The first argument of every call of a function, which is called all the same."""
    module, _, function = name.rpartition(".")
    real, seen = getattr(import_module(module), function), []

    def counted(first: object, *more: object, **options: object) -> object:
        seen.append(first)
        return real(first, *more, **options)

    monkeypatch.setattr(name, counted)
    return seen


def here(*arguments: str) -> Result:
    """The command in this process, so that its calls can be counted."""
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    return done


def test_a_finished_lora_is_recognised_without_its_backbone(
    images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = counting(monkeypatch, "pipelines.jobs.train_lora.load_backbone")
    for _ in range(2):
        command = ["lora", "train", str(images), *SETTINGS, "--out", f"{tmp_path}/mine", "--work", f"{tmp_path}/work"]
        assert here(*command).stdout.splitlines()[-1] == f"{tmp_path}/mine/lora.safetensors"
    assert len(loaded) == 1


def test_a_missing_list_is_reported_and_the_same_command_writes_it_again(images: Path, tmp_path: Path) -> None:
    lora = tmp_path / "mine"
    command = ["lora", "train", str(images), *SETTINGS, "--out", str(lora), "--work", f"{tmp_path}/work"]
    here(*command)
    before = json.loads((lora / LIST).read_text())
    (lora / LIST).unlink()
    assert (
        f"{lora}: has no {LIST}, so it cannot be checked"
        in here("lora", "inspect", str(lora / "lora.safetensors")).stderr
    )
    assert CliRunner().invoke(app, ["verify", str(lora)]).exit_code == 1
    here(*command)
    assert json.loads((lora / LIST).read_text()) == before
    here("verify", str(lora))


@pytest.mark.parametrize("dry_run", [[], ["--dry-run"]])
def test_errors_of_a_training_are_reported_before_anything_is_curated(dry_run: list[str], tmp_path: Path) -> None:
    for place, size in enumerate([(64, 64), (64, 64), (64, 48)]):
        folder = tmp_path / "mine" / ("brain" if place else "brian")
        folder.mkdir(parents=True, exist_ok=True)
        Pil.new("L", size, 50 + place).save(folder / f"P{place}.png")
    Pil.new("L", (64, 64), 9).save(tmp_path / "mine" / "brain" / "nobody.png")
    names = ["images.kind=class_folders", "images.patient_pattern=P(\\d)", "images.label_set=fetal_planes"]
    command = ["lora", "train", "mine", *SETTINGS, *names, "--backbone", "gone", "--out", "lora", *dry_run]
    message = run(tmp_path, *command, expect=2).stderr
    assert "mine: 4 problems, found before anything runs" in message
    assert "images.sources.0.patient_pattern: 'P(\\\\d)' finds a patient in 2 of 3 names" in message
    assert "unknown class 'brian', of 1 images; rename it to one of abdomen, brain, femur, thorax, other" in message
    assert "--backbone: gone: there is no such folder or file" in message
    assert "sizes: images has images of 2 sizes, 64x64 (2), 64x48 (1), and sizes=fixed trains on one" in message
    assert not list((tmp_path / "work").glob("*/"))
    assert not (tmp_path / "lora").exists()


def test_sizes_that_the_backbone_was_not_made_for_are_noted(images: Path, tmp_path: Path) -> None:
    plain = run(tmp_path, "lora", "train", str(images), *SETTINGS, "--dry-run")
    assert "note:" not in plain.stdout
    buckets = ["sizes=buckets", "resolution_px=512", "bucket_step_px=16"]
    found = run(tmp_path, "lora", "train", str(images), *SETTINGS, *buckets, "--dry-run")
    said = "note: resolution_px: buckets of about 512x512 px, and the backbone was made for 64x64 px"
    assert found.stdout.splitlines()[-1].startswith(said)


MADE = {"curate", "count_classes", "check_leaks"}


def test_a_study_says_what_its_arms_and_loras_will_take(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = [
        counting(monkeypatch, f"fulora.diffusion.{name}")
        for name in (
            "models.loading.load_backbone",
            "training.image_sets.read_training_images",
            "training.plan.plan_training",
        )
    ]
    generators = "{base: {lora: none}, LoRA: {}, twice: {generate: {steps: 2}}, LoRA of rank 4: {lora: {rank: 4}}}"
    found = here("run", "smoke", f"synthetic={generators}", "--dry-run", "--work", f"{tmp_path}/work")
    assert [len(calls) for calls in parts] == [1, 1, 2]
    names = [line for line in found.stdout.splitlines() if not line.startswith(" ")]
    assert names == ["7 trainings, 0 cached, 7 to do", "LoRA:", "LoRA of rank 4:"]
    arms = [" ".join(line.split()) for line in found.stdout.splitlines()[1:4]]
    assert arms[0] == "real all real 2 4 32 0 of 2 not known before one is done"
    assert arms[1] == "hybrid all real + 1 synthetic (LoRA) each 2 4 32 0 of 2 not known before one is done"
    assert arms[2] == "CLIP tuned 2 2 16 0 of 2 not known before one is done"
    assert "4 steps of 16 images: 3.2 epochs" in found.stdout
    assert {path.name.rpartition("-")[0] for path in (tmp_path / "work").glob("[!.]*")} == MADE


def test_patients_of_the_test_set_are_not_trained_on(images: Path, tmp_path: Path) -> None:
    tested = write_set(tmp_path / "tested", ["test"] * 2, first_patient=4)
    found = run(tmp_path, "lora", "train", str(images), *SETTINGS, "--test", str(tested.path), expect=2)
    assert "1 patients are among the training images and in the set it is tested on, phantoms/A/4" in found.stderr
    assert not (tmp_path / "lora").exists()


def kohya(folder: Path, captions: Sequence[str]) -> Path:
    (folder / "10_brain").mkdir(parents=True)
    for place, caption in enumerate(captions):
        pixels = draw("brain", range(place, place + 1), site="A", size_px=64, seed=0).images[0]
        Pil.fromarray(pixels).save(folder / "10_brain" / f"P{place}.png")
        if caption:
            (folder / "10_brain" / f"P{place}.txt").write_text(caption)
    return folder


def test_a_folder_of_kohyas_is_curated_with_its_captions(tmp_path: Path) -> None:
    kohya(tmp_path / "mine", ["my brain one", "my brain two", "my brain two"])
    given = ["images.kind=kohya", "images.words={brain: brain}", r"images.patient_pattern=P(\d+)"]
    run(tmp_path, "lora", "train", "mine", *given, *SETTINGS)
    with safe_open(tmp_path / "lora" / "lora.safetensors", "pt") as file:
        assert json.loads(file.metadata()["fulora"])["facts"]["captions"] == {"my brain one": 1, "my brain two": 2}


@pytest.mark.parametrize("spoilt", ["image without caption", "caption without image"])
def test_captions_and_images_that_do_not_match_are_refused(tmp_path: Path, spoilt: str) -> None:
    without = spoilt == "image without caption"
    kohya(tmp_path / "mine", ["my brain one", "" if without else "my brain two", "my brain"])
    if not without:
        (tmp_path / "mine" / "10_brain" / "P9.txt").write_text("a brain that is not there")
    given = ["images.kind=kohya", "images.words={brain: brain}", r"images.patient_pattern=P(\d+)"]
    found = run(tmp_path, "lora", "train", "mine", *given, *SETTINGS, expect=2)
    said = "1 of 3 images have no caption" if without else "a caption without a picture beside it"
    assert said in found.stderr
    assert "Traceback" not in found.stderr


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (["rank=0"], "rank: Input should be greater than 0"),
        (["rnak=4"], "rnak: unknown key; did you mean 'rank'"),
        (["device=cuda"], "sees no GPU"),
        (["device=foo"], "device=foo: torch cannot use it here"),
        (["keep=best", "--config", "real_sets"], "real_sets: it has no `lora:` part"),
        (["--backbone", "nowhere"], "nowhere"),
        (
            ["--test", "nowhere"],
            "nowhere: does not exist; --test takes the folder that `fulora data curate FOLDER` prints",
        ),
        (["--prior", "."], ".: is not an image set; --prior takes the folder"),
        (["--out", "."], "it contains something else (notes.txt): give --out a new folder"),
    ],
)
def test_wrong_input_is_one_message(images: Path, tmp_path: Path, settings: list[str], said: str) -> None:
    (tmp_path / "notes.txt").write_text("mine")
    found = run(tmp_path, "lora", "train", str(images), *SETTINGS, *settings, expect=2)
    assert said in found.stderr
    assert "Traceback" not in found.stderr


def test_settings_come_from_a_config(images: Path, tmp_path: Path) -> None:
    small = [*SETTINGS, "optimizer=adamw", "precision=fp32", "resolution_px=64", "bucket_step_px=8"]
    run(tmp_path, "lora", "train", str(images), "--config", "paper/fu_lora", *small)
    with safe_open(tmp_path / "lora" / "lora.safetensors", "pt") as file:
        config = json.loads(file.metadata()["fulora"])["config"]
    assert (config["clip_skip"], config["seed"], config["latents"], config["rank"]) == (2, 1234, "once", 2)


def test_sigterm_leaves_a_checkpoint_exits_with_75_and_changes_nothing(images: Path, tmp_path: Path) -> None:
    command = ["lora", "train", str(images), *SETTINGS, "steps=30", "checkpoint_every=1000"]
    run(tmp_path, *command, "--out", "whole")
    running = Forked(*command, "--out", "stopped", cwd=tmp_path)
    metrics = tmp_path / "stopped" / "metrics.jsonl"
    while running.poll() is None and not (metrics.is_file() and '"step": 5,' in metrics.read_text()):
        time.sleep(0.01)
    running.send_signal(signal.SIGTERM)
    _, said = running.communicate(timeout=120)
    assert running.returncode == 75, said
    assert "a checkpoint is in stopped" in said
    assert (tmp_path / "stopped" / "checkpoints" / "LATEST").is_file()
    run(tmp_path, *command, "--out", "stopped")
    for name in ("lora.safetensors", "metrics.jsonl"):
        assert (tmp_path / "stopped" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
