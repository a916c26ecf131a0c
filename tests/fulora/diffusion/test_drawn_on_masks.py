"""Pictures that a ControlNet has drawn on masks are made as all others: compute, gate, recipe, resuming, and again."""

import json
import shutil
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from generation_run import complete, inputs, tree
from jaxtyping import UInt8

from fulora import integrity
from fulora.data.image_set import ImageSet, pixel_digest
from fulora.data.label_set import label_set
from fulora.data.pictures.embedded_metadata import read_mark
from fulora.data.provenance import Provenance, ProvenanceEntry
from fulora.diffusion.models.controlnet import build_control
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.sampling.compute import choose_compute
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.image_generator import (
    GeneratedImage,
    ImageGenerator,
    ImageRequest,
    build_generator,
    with_control,
)
from fulora.diffusion.sampling.inputs import ControlSource, GenerationInputs, weights_digest
from fulora.diffusion.sampling.recipe import ControlUsed, RecipeError, read_row
from fulora.diffusion.sets import shard_writer
from fulora.diffusion.sets.blank_images import read_counts
from fulora.diffusion.sets.generation import generate_set
from fulora.diffusion.sets.job import GenerationError, GenerationJob
from fulora.diffusion.sets.recipe_inputs import InputOverrides
from fulora.diffusion.sets.regenerate import regenerate
from fulora.diffusion.sets.shard_writer import write_image
from fulora.engine import InProcess

pytestmark = pytest.mark.slow

FETAL = label_set("fetal_planes")
DISKS = [np.hypot(*(np.indices((32, 32)) - 15.5)) < 4 + number for number in range(6)]
MASKS: UInt8[np.ndarray, "6 32 32"] = np.stack(DISKS).astype(np.uint8)


@dataclass(frozen=True)
class Made:
    """A set of which the second picture was black at first, and what it was drawn with."""

    out: Path
    control: Path
    used: GenerationInputs


@pytest.fixture(scope="module")
def control(tmp_path_factory: pytest.TempPathFactory, backbone: Path) -> Path:
    """A ControlNet that does something (as it is built it is silent), and that learned from a patient."""
    made = build_control(load_backbone(backbone), 0)
    for silent in (made.controlnet_mid_block, made.controlnet_cond_embedding.conv_out):
        torch.nn.init.constant_(silent.weight, 0.05)
    folder = tmp_path_factory.mktemp("control")
    made.save_pretrained(folder)
    Provenance(entries=(ProvenanceEntry(name="ControlNet c", patients=("s/A/1",)),)).write(folder)
    return folder


def controlled_inputs(backbone: Path, control: Path, masks: UInt8[np.ndarray, "n h w"] = MASKS) -> GenerationInputs:
    used = ControlUsed(name=control.name, digest=weights_digest(control))
    return inputs(backbone, control=ControlSource(control, used, {"brain": masks}))


def cfg(**changes: object) -> SamplingConfig:
    asked = {"per_class": 6, "planes": ["brain"], "batch_size": 2, "max_rejected": 1.0, "clip_skip": 2}
    return complete(**(asked | {"sampler": ["euler", "ddim"], "guidance_interval": [0.0, 0.6], "steps": 3} | changes))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, backbone: Path, control: Path) -> Made:
    real, used, out = (
        ImageGenerator.generate,
        controlled_inputs(backbone, control),
        tmp_path_factory.mktemp("made") / "set",
    )

    def draw(self: ImageGenerator, requests: Sequence[ImageRequest]) -> list[GeneratedImage]:
        return [
            replace(each, finite=each.request.attempt > 0 or each.request.index != 1) for each in real(self, requests)
        ]

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ImageGenerator, "generate", draw)
        assert generate_set(GenerationJob(out, cfg(), used, FETAL), InProcess()) == []
    return Made(out, control, used)


def test_each_picture_has_its_mask_its_seed_and_a_recipe_with_the_controls_digest(made: Made) -> None:
    images = ImageSet(made.out, "")
    rows = images.rows("train")
    assert [row.image_id for row in rows] == [f"synthetic_on_mask_brain_{number:05d}" for number in range(6)]
    assert len({row.seed for row in rows}) == 6
    for row, mask in zip(rows, MASKS, strict=True):
        assert np.array_equal(images.mask(row), mask)
        _, recipe = read_row(made.out / "train" / row.file_name)
        assert recipe.control == ControlUsed(name=made.control.name, digest=weights_digest(made.control))
        assert recipe.mask == pixel_digest(mask)
        assert (recipe.clip_skip, recipe.compute.device, recipe.compute.precision) == (2, "cpu", "fp32")
        mark = read_mark(made.out / "train" / row.file_name)
        assert mark is not None
        assert mark.synthetic
        assert mark.generator.endswith(f"+control:{weights_digest(made.control)}")
    assert images.provenance().patients() == ["s/A/1"]
    drawn_by = f"synthetic images by {made.used.fingerprint()}"
    assert images.provenance().chain("ControlNet c") == f"ControlNet c, through {drawn_by}"
    integrity.check(made.out)


def test_the_blank_image_check_tests_images_drawn_on_masks(made: Made) -> None:
    counts = read_counts(made.out)
    assert counts is not None
    assert (counts.images, counts.drawn, dict(counts.rejected["brain"])) == (6, 7, {"nan": 1})
    assert [read_row(path)[1].attempt for path in sorted(made.out.glob("train/images/*/*.png"))] == [0, 1, 0, 0, 0, 0]


def test_they_are_drawn_again_with_the_same_bytes(made: Made, tmp_path: Path) -> None:
    paths = sorted(made.out.glob("train/images/*/*.png"))
    again = list(regenerate(paths, InputOverrides(), tmp_path))
    assert {each.path for each in again} == set(paths)
    for each in again:
        write_image(tmp_path / "again.png", each.new_row, each.image)
        assert (tmp_path / "again.png").read_bytes() == each.path.read_bytes()


def test_without_their_set_or_with_another_control_or_mask_they_are_not_drawn_again(
    made: Made, tmp_path: Path, backbone: Path
) -> None:
    first = sorted(made.out.glob("train/images/*/*.png"))[0]
    alone = Path(shutil.copy(first, tmp_path / "alone.png"))
    with pytest.raises(
        RecipeError, match=r"was generated on a mask by the ControlNet control.*in the folder of its set"
    ):
        list(regenerate([alone], InputOverrides(backbone=backbone), tmp_path))
    copy = shutil.copytree(made.out, tmp_path / "set")
    path, said = copy / first.relative_to(made.out), json.loads((copy / ".sources.json").read_text())
    said["backbone"], said["control"] = str(backbone), "gone"
    (copy / ".sources.json").write_text(json.dumps(said))
    with pytest.raises(RecipeError, match=r"the ControlNet control.* is missing"):
        list(regenerate([path], InputOverrides(), tmp_path))
    said["control"] = str(backbone)
    (copy / ".sources.json").write_text(json.dumps(said))
    with pytest.raises(RecipeError, match=r"is another ControlNet \(.*\) than .* was made with"):
        list(regenerate([path], InputOverrides(), tmp_path))
    said["control"] = str(made.control)
    (copy / ".sources.json").write_text(json.dumps(said))
    shutil.copy(copy / "train/masks/synthetic_on_mask_brain_00003.png", copy / "train/masks" / path.name)
    with pytest.raises(RecipeError, match=r"is not the mask that .* was generated on"):
        list(regenerate([path], InputOverrides(), tmp_path))


def test_a_killed_set_is_gone_on_with_and_ends_with_the_same_bytes(
    tmp_path: Path, backbone: Path, control: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    used = controlled_inputs(backbone, control)
    whole, broken = (GenerationJob(tmp_path / name, cfg(), used, FETAL) for name in ("whole", "broken"))
    generate_set(whole, InProcess())
    usual, calls = shard_writer.write_record, []

    def dies(*given: object) -> None:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        usual(*given)  # type: ignore[arg-type]

    monkeypatch.setattr(shard_writer, "write_record", dies)
    with pytest.raises(KeyboardInterrupt):
        generate_set(broken, InProcess())
    generate_set(broken, InProcess())
    assert len(calls) == 4  # of three shards, the second was begun twice
    assert tree(broken.out) == tree(whole.out)
    other = replace(broken, inputs=controlled_inputs(backbone, control, MASKS[::-1]))
    with pytest.raises(GenerationError, match=r"holds another set, with masks="):
        generate_set(other, InProcess())


def test_a_picture_depends_on_its_mask_and_seed_alone(backbone: Path, control: Path) -> None:
    def drawn(
        masks: UInt8[np.ndarray, "n h w"], requests: Sequence[ImageRequest], **changes: object
    ) -> list[GeneratedImage]:
        pipe, asked = load_backbone(backbone), cfg(sampler="euler", **changes)
        generator = build_generator(pipe, asked, choose_compute(pipe, asked, 1))
        return with_control(generator, control, lambda request: masks[request.index]).generate(requests)

    first, second = drawn(MASKS, [ImageRequest("brain", 0), ImageRequest("brain", 1)])
    (alone,) = drawn(MASKS, [ImageRequest("brain", 1)])
    assert np.array_equal(alone.pixels, second.pixels)
    assert not np.array_equal(first.pixels, second.pixels)
    (other,) = drawn(np.zeros_like(MASKS), [ImageRequest("brain", 0)])
    assert other.seed == first.seed
    assert not np.array_equal(other.pixels, first.pixels)
    (colour,) = drawn(MASKS, [ImageRequest("brain", 0)], colour="rgb")
    assert colour.pixels.shape == (32, 32, 3)
    (half,) = drawn(MASKS, [ImageRequest("brain", 0)], precision="bf16")
    assert not np.array_equal(half.pixels, first.pixels)
    assert np.abs(half.pixels.astype(int) - first.pixels).mean() < 16


@pytest.mark.parametrize(
    ("changes", "masks", "message"),
    [
        ({"per_class": 7}, MASKS, "brain: 6 masks of 32x32 px for 7 images of 32x32 px; each image needs a mask"),
        ({"image_size_px": 64}, MASKS, "brain: 6 masks of 32x32 px for 6 images of 64x64 px"),
        ({"planes": ["femur"]}, MASKS, "femur: 0 masks of 32x32 px"),
    ],
)
def test_masks_that_are_too_few_or_of_another_size_are_refused(
    changes: dict[str, object],
    masks: UInt8[np.ndarray, "n h w"],
    message: str,
    tmp_path: Path,
    backbone: Path,
    control: Path,
) -> None:
    with pytest.raises(GenerationError, match=message):
        generate_set(
            GenerationJob(tmp_path / "set", cfg(**changes), controlled_inputs(backbone, control, masks), FETAL),
            InProcess(),
        )
