"""`fulora generate` with LoRAs of other backbones and tools, and `fulora lora train` on pairs, as a user calls."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from command_inside import QUICK, called
from safetensors.torch import save_file
from test_lora_train_command import SETTINGS, write_set

from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora
from fulora.diffusion.lora.files import save_lora
from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.loading import save_backbone
from fulora.diffusion.sampling.lora_usage import read_lora_usage
from fulora.diffusion.sampling.recipe import read_row

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")

Q = "lora_unet_mid_block_attentions_0_transformer_blocks_0_attn1_to_q"
ONE = ("generate", "--plane", "brain", "--count", "1", *QUICK)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A small SD 2.x for noise prediction, and a LoRA whose header says velocity."""
    save_backbone(build("sd2-base", tmp_path / "sd2", small=True, seed=0), tmp_path / "sd2", half=True)
    header = {"ss_v2": "True", "ss_v_parameterization": "True", "ss_network_alpha": "1"}
    save_file(
        {f"{Q}.lora_down.weight": torch.ones(2, 80), f"{Q}.lora_up.weight": torch.ones(80, 2)},
        tmp_path / "velocity.safetensors",
        header,
    )
    return tmp_path


def test_a_lora_of_another_prediction_type_needs_an_option_and_is_noted(folder: Path) -> None:
    command = (*ONE, "--backbone", folder / "sd2", "--lora", folder / "velocity.safetensors", "--out")
    refused = called(*command, folder / "first")
    assert refused.code == 2
    assert "trained to predict velocity (v_prediction), by ss_v_parameterization=True" in refused.stderr
    assert "and --any-base uses it nevertheless" in refused.stderr
    done = called(*command, folder / "second", "--any-base")
    assert done.code == 0, done.stderr
    assert "velocity.safetensors is used nevertheless (--any-base)" in done.stderr
    assert "1 of 1 layers have no alpha: it is taken to be the rank, as all tools do, though the header" in done.stderr
    drawn = next((folder / "second" / "train").rglob("*.png"))
    assert read_row(drawn)[1].loras[0].any_base
    again = called("regenerate", drawn, "--out", folder / "again.png")
    assert (again.code, again.stdout) == (0, f"{folder / 'again.png'}: the same bytes\n")


@pytest.mark.parametrize(
    ("header", "clip_skip", "notes"),
    [
        ({"ss_clip_skip": "2", "ss_v_parameterization": "False"}, 2, ()),
        (
            {"ss_clip_skip": "2", "ss_v_parameterization": "False", "ss_base_model_version": "sdxl_base_v1-0"},
            None,
            ("its ss_clip_skip=2 is not used: kohya ignores it for SDXL, whose layer is fixed",),
        ),
        ({}, None, ("its file does not say what it was trained to predict; taken to be what the backbone predicts",)),
    ],
)
def test_what_a_header_says_is_used_as_its_writer_means_it(
    tmp_path: Path, header: dict[str, str], clip_skip: int | None, notes: Sequence[str]
) -> None:
    save_file(
        {
            f"{Q}.lora_down.weight": torch.ones(2, 8),
            f"{Q}.lora_up.weight": torch.ones(8, 2),
            f"{Q}.alpha": torch.ones(()),
        },
        tmp_path / "l.safetensors",
        header or None,
    )
    found = read_lora_usage(tmp_path / "l.safetensors")
    assert (found.clip_skip, found.notes) == (clip_skip, tuple(notes))


def test_clip_skip_of_sdxl_is_noted_and_that_of_fulora_is_used(tmp_path: Path) -> None:
    pipe = build("sdxl", tmp_path / "xl", small=True, seed=0)
    save_backbone(pipe, tmp_path / "xl", half=True)
    cfg = LoraConfig(rank=2, alpha=2, clip_skip=2)
    add_lora(pipe, cfg)
    save_lora(pipe, tmp_path / "lora.safetensors", cfg=cfg)
    assert read_lora_usage(tmp_path / "lora.safetensors").clip_skip == 2
    done = called(*ONE, "--backbone", tmp_path / "xl", "--lora", tmp_path / "lora.safetensors", "--out", tmp_path / "o")
    assert done.code == 0, done.stderr
    assert "clip_skip=2: SDXL reads layer 2 from the end, and with this layer 3" in done.stderr


@pytest.fixture(scope="module")
def pairs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pairs")
    plain = write_set(folder / "plain", ["train"] * 4)
    mask = (np.indices((64, 64))[0] < 20).astype(np.uint8)
    ImageSet.write(folder / "masked", [Picture(p.row, p.pixels, mask) for p in plain.pictures()], labels=FETAL)
    classes = mask + (np.indices((64, 64))[0] < 9).astype(np.uint8)
    ImageSet.write(
        folder / "classes",
        [Picture(p.row, p.pixels, classes) for p in plain.pictures()],
        labels=FETAL,
    )
    return folder


def test_lora_train_with_mask_channel_trains_on_pairs(pairs: Path, tmp_path: Path) -> None:
    losses = {}
    for name in ("true", "false"):
        out = tmp_path / name
        samples = ["samples.every=2", "samples.per_caption=1", "samples.steps=1"]
        done = called("lora", "train", pairs / "masked", *SETTINGS, f"mask_channel={name}", *samples, "--out", out)
        assert done.code == 0, done.stderr
        assert ("reconstructs the masks of pairs with a Dice of 0." in done.stderr) == (name == "true")
        losses[name] = json.loads((out / "metrics.jsonl").read_text().splitlines()[0])["loss"]
    assert losses["true"] != losses["false"]
    refused = called(*ONE, "--lora", tmp_path / "true", "--out", tmp_path / "gray")
    assert refused.code == 2
    assert "was trained on pairs of image and mask (mask_channel=true), and colour=gray would mix" in refused.stderr
    done = called(*ONE, "--lora", tmp_path / "true", "--out", tmp_path / "rgb", "colour=rgb")
    assert done.code == 0, done.stderr


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("plain", "mask_channel=true: 4 of 4 images have no mask"),
        ("classes", "has the classes 1, 2, and a pair holds one structure"),
    ],
)
def test_images_that_make_no_pairs_are_refused(pairs: Path, tmp_path: Path, name: str, said: str) -> None:
    done = called("lora", "train", pairs / name, *SETTINGS, "mask_channel=true", "--out", tmp_path / "out")
    assert done.code == 2
    assert said in done.stderr
    assert not (tmp_path / "out").exists()


def test_a_picture_that_is_tested_on_is_found_in_a_pair(pairs: Path, tmp_path: Path) -> None:
    masked = ImageSet(pairs / "masked", "")
    picture = next(iter(masked.pictures()))
    row = picture.row.model_copy(update={"split": "test", "patient": "somebody else"})
    ImageSet.write(tmp_path / "tested", [Picture(row, picture.pixels)], labels=FETAL)
    command = ("lora", "train", pairs / "masked", *SETTINGS, "mask_channel=true", "--test", tmp_path / "tested")
    done = called(*command, "--out", tmp_path / "out")
    assert done.code == 2
    assert "1 training pictures are in the set it is tested on too, pixel for pixel" in done.stderr
