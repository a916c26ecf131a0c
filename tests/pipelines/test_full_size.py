"""Backbones as they are published, from loading to pictures: tiny ones always, full-size ones on request.

    FULORA_FULL_SIZE=FOLDER python -m pytest tests/pipelines/test_full_size.py -s -k "sd1 or clip"    # some minutes
    FULORA_FULL_SIZE=FOLDER python -m pytest tests/pipelines/test_full_size.py -s -k sdxl

FOLDER needs 3 GB for SD 1.5 and 8 GB for SDXL, which are removed again; SD 1.5 takes 7 GB of memory. SDXL, without its
LoRA, takes as much as its UNet in bf16 with room for its mapped file, some 16 GB. Weights are random,
vocabularies are CLIP's own. Times and peaks are printed and appended to `FOLDER/full_size.jsonl`, never compared.
"""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import open_clip
import pytest
import torch
from command_line import ROOT, fulora
from image_rows import image_row
from published_layouts import LAYOUTS, Layout, shards_of, write_layout

from fulora.clip.model import save_clip
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.diffusion.config import Architecture
from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.loading import BackboneError, load_backbone, networks
from fulora.environment import cores
from fulora.intake.phantoms.scan import draw

FULL_SIZE = os.environ.get("FULORA_FULL_SIZE")
on_request = pytest.mark.skipif(
    not FULL_SIZE, reason="full-size weights are made where FULORA_FULL_SIZE names a folder"
)

HELD_TWICE = 1.3
"""Most memory that loading takes, as a share of what the weights take then; held twice they would take 2."""


def image_set(folder: Path, count: int, size_px: int) -> Path:
    """An image set of phantoms of two planes."""
    pictures = []
    for number in range(count):
        plane = ("brain", "femur")[number % 2]
        row = image_row(f"{plane}_{number}", plane=plane, split="train", source="phantoms", patient=str(number))
        pictures.append(
            Picture(row, draw(plane, range(number, number + 1), site="A", size_px=size_px, seed=0).images[0])
        )
    ImageSet.write(folder, pictures, labels=label_set("fetal_planes"))
    return folder


def commands(
    backbone: Path, images: Path, out: Path, size_px: int, *settings: str, fused: bool = True
) -> Iterator[list[str]]:
    """Train a LoRA for three steps, and generate an image, with it if `fused`."""
    compute = ["device=cpu", "batch_size=1", *settings]
    trained = ["rank=4", "steps=3", "log_every=1", "text_encoder_learning_rate=0"]
    yield ["lora", "train", str(images), "--backbone", str(backbone), "--out", str(out / "lora"), *compute, *trained]
    lora, size = ["--lora", str(out / "lora" / "lora.safetensors")] if fused else [], str(size_px)
    drawn = ["--plane", "brain", "--count", "1", "--size", size, "--out", str(out / "drawn"), "steps=2"]
    yield ["generate", "--backbone", str(backbone), *lora, *drawn, *compute]


# --- tiny ones


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> dict[Layout, Path]:
    """One SD 1.5 with narrow layers in each layout."""
    folder = tmp_path_factory.mktemp("tiny")
    pipe = build("sd1", folder, small=True, seed=0, dtype=torch.float16)
    return {layout: write_layout(pipe, layout, folder / layout, "1MB") for layout in LAYOUTS}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_the_same_backbone(tiny: dict[Layout, Path], layout: Layout, tmp_path: Path) -> None:
    expected = build("sd1", tmp_path, small=True, seed=0, dtype=torch.float16)
    pipe = load_backbone(tiny[layout])
    for network, original in zip(networks(pipe), networks(expected), strict=True):
        weights = network.state_dict()
        assert all(torch.equal(weights[name], weight.float()) for name, weight in original.state_dict().items())
        assert {parameter.dtype for parameter in network.parameters()} == {torch.float32}
        assert not any(parameter.data_ptr() % 64 for parameter in network.parameters())


@pytest.mark.parametrize("layout", LAYOUTS)
def test_the_unet_can_be_loaded_in_another_precision(tiny: dict[Layout, Path], layout: Layout) -> None:
    exact, rounded = load_backbone(tiny[layout]), load_backbone(tiny[layout], unet_dtype=torch.bfloat16)
    for one, two in zip(exact.unet.parameters(), rounded.unet.parameters(), strict=True):
        assert torch.equal(one.bfloat16(), two)
    assert rounded.vae.dtype == rounded.text_encoder.dtype == torch.float32


@pytest.mark.parametrize(("layout", "part"), [("sharded", "unet"), ("mixed", "unet"), ("sharded", "text_encoder")])
def test_a_shard_that_is_missing_is_named(tiny: dict[Layout, Path], tmp_path: Path, layout: Layout, part: str) -> None:
    copied = shutil.copytree(tiny[layout], tmp_path / "copied")
    last = sorted(shards_of(copied / part))[-1]
    (copied / part / last).unlink()
    named = rf"{part}/\S+ names \d+ files of weights, and 1 of them are missing, such as {last}: download or copy them"
    with pytest.raises(BackboneError, match=named):
        load_backbone(copied)


@pytest.mark.parametrize("layout", ["sharded", "mixed"])
def test_shards_without_their_index_are_named(tiny: dict[Layout, Path], tmp_path: Path, layout: Layout) -> None:
    copied = shutil.copytree(tiny[layout], tmp_path / "copied")
    (index,) = (copied / "unet").glob("*.index*.json")
    index.unlink()
    with pytest.raises(BackboneError, match=rf"unet holds parts of weights, such as \S+, and no {index.name}"):
        load_backbone(copied)


@pytest.mark.slow
@pytest.mark.parametrize("layout", ["mixed", "file"])
def test_a_tiny_one_is_trained_and_draws(tiny: dict[Layout, Path], tmp_path: Path, layout: Layout) -> None:
    images = image_set(tmp_path / "images", 4, 64)
    for command in commands(tiny[layout], images, tmp_path, 64):
        done = fulora(*command)
        assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "drawn" / "train").rglob("*.png"))) == 1


# --- full-size ones


@pytest.fixture
def folder() -> Iterator[Path]:
    """A folder on the disk that the user names, removed with all weights."""
    made = Path(FULL_SIZE or "") / "full-size"
    made.mkdir(parents=True)
    yield made
    shutil.rmtree(made)


def measured(what: str, folder: Path, *command: str | Path) -> dict[str, float]:
    """Time and peak memory of a command in a process of its own, printed and kept."""
    report = folder / "report.json"
    words = [sys.executable, str(ROOT / "tests" / "measured_run.py"), str(report), *map(str, command)]
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(words, cwd=folder, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    facts: dict[str, float] = json.loads(report.read_text(encoding="utf-8"))
    line = json.dumps({"what": what, **facts, "threads": torch.get_num_threads(), "cores": cores()})
    print(line, *done.stderr.splitlines(), sep="\n   ", flush=True)
    with (folder.parent / "full_size.jsonl").open("a", encoding="utf-8") as kept:
        kept.write(line + "\n")
    return facts


def write_full(architecture: Architecture, layout: Layout, folder: Path) -> Path:
    torch.set_default_dtype(torch.float16)  # weights are drawn in it: in fp32 SDXL's alone would take 10 GB
    try:
        pipe = build(architecture, folder / "tokenizers", small=False, seed=0, dtype=torch.float16)
    finally:
        torch.set_default_dtype(torch.float32)
    return write_layout(pipe, layout, folder / layout, "1GB")


@on_request
@pytest.mark.parametrize(
    ("architecture", "layout", "precision"),
    [
        ("sd1", "fp16", "fp32"),
        ("sd1", "mixed", "bf16"),
        ("sd1", "file", "fp32"),
        ("sdxl", "fp16", "bf16"),
    ],
)
def test_a_full_size_one_is_trained_and_draws(
    folder: Path, architecture: Architecture, layout: Layout, precision: str
) -> None:
    """Loading holds no weights twice."""
    backbone = write_full(architecture, layout, folder)
    images = image_set(folder / "images", 4, 256)
    name = f"{architecture} {layout} {precision}"
    loaded = measured(f"{name}: load", folder, "load", backbone, precision)
    for command in commands(backbone, images, folder, 256, f"precision={precision}", fused=architecture == "sd1"):
        measured(f"{name}: {command[0]}", folder, *command)
    assert len(list((folder / "drawn" / "train").rglob("*.png"))) == 1
    assert loaded["peak_mb"] - loaded["start_mb"] < HELD_TWICE * loaded["weights_mb"]


@on_request
def test_a_full_size_clip_embeds(folder: Path) -> None:
    """ViT-B/32, whose weights are made at random, on 256 pictures of 256 px."""
    config = open_clip.get_model_config("ViT-B-32")
    model = open_clip.create_model("ViT-B-32")
    save_clip(
        model, {"model_cfg": config, "preprocess_cfg": open_clip.model.get_model_preprocess_cfg(model)}, folder / "clip"
    )
    measured("ViT-B/32: embed", folder, "embed", folder / "clip", image_set(folder / "images", 256, 256))
