from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from jaxtyping import UInt8
from pydantic import ValidationError

from fulora.data.pictures.pixels import pixel_digest
from fulora.diffusion.config import LoraConfig, SamplesConfig
from fulora.diffusion.lora.adapters import all_lora_parameters
from fulora.diffusion.lora.files import FILE
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.models.architectures import Pipeline, build
from fulora.diffusion.models.loading import BackboneError, load_backbone
from fulora.diffusion.training import plan as planning
from fulora.diffusion.training.batches import encode_examples
from fulora.diffusion.training.examples import Examples, HeldOutSet, TrainingImages
from fulora.diffusion.training.learner import cast_and_adapt
from fulora.diffusion.training.memory import Memory
from fulora.diffusion.training.plan import check_plan, plan_training
from fulora.diffusion.training.train import fit
from fulora.training.checkpoints import load_checkpoint
from fulora.training.processes import Processes

Images = UInt8[np.ndarray, "10 32 32"]
CONFIG = LoraConfig(rank=2, steps=20, batch_size=2, device="cpu", checkpoint_every=5)
PLANES = ["brain", "femur"] * 5


@pytest.fixture(scope="module")
def pipe(backbone: Path) -> Pipeline:
    return load_backbone(backbone)


@pytest.fixture
def examples(images: Images, captions: Sequence[str]) -> Examples:
    return Examples(list(images), captions)


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> list[tuple[object, ...]]:
    """What the prediction, which has tests of its own, is asked for."""
    asked: list[tuple[object, ...]] = []

    def predicted(pipe: Pipeline, cfg: LoraConfig, *arguments: object, prior: bool = False) -> Memory:
        asked.append((*arguments, prior))
        return Memory(gpu=3 * 10**9, cpu=4_500_000)

    monkeypatch.setattr(planning, "predict_memory", predicted)
    monkeypatch.setattr(planning, "peak_resident", lambda: 0)
    return asked


def changed(**settings: object) -> LoraConfig:
    return CONFIG.model_copy(update=settings)


def mixed() -> Examples:
    """Pictures of two shapes."""
    random = np.random.default_rng(0)
    shapes = [(48, 80), (48, 80), (80, 48)]
    return Examples([random.integers(0, 256, shape).astype(np.uint8) for shape in shapes], ["a photo"] * 3)


def test_a_plan_counts_what_happens(pipe: Pipeline, examples: Examples, memory: list[tuple[object, ...]]) -> None:
    found = plan_training(CONFIG, pipe, TrainingImages(examples, validation=examples, planes=PLANES))
    assert found.images == {"brain": Counter({(32, 32): 5}), "femur": Counter({(32, 32): 5})}
    assert (found.validation, found.prior, found.epochs) == (10, 0, 4.0)
    assert memory == [(Counter({(32, 32): 10}), [*examples.captions] * 2, False)]


def test_a_plan_counts_by_caption_and_bucket(pipe: Pipeline, memory: list[tuple[object, ...]]) -> None:
    cfg = changed(sizes="buckets", resolution_px=48, bucket_step_px=8)
    found = plan_training(cfg, pipe, TrainingImages(mixed(), prior=mixed()))
    assert found.images == {"a photo": Counter({(56, 32): 2, (32, 56): 1})}
    assert memory == [(Counter({(56, 32): 4, (32, 56): 2}), ["a photo"] * 6, True)]


def test_parameters_are_those_that_learn(pipe: Pipeline, backbone: Path, examples: Examples, memory: object) -> None:
    trained = load_backbone(backbone)
    cast_and_adapt(trained, CONFIG)
    found = plan_training(CONFIG, pipe, TrainingImages(examples)).parameters
    assert list(found) == ["UNet", "text encoder"]
    assert sum(found.values()) == sum(parameter.numel() for parameter in all_lora_parameters(trained))
    assert list(plan_training(changed(text_encoder_learning_rate=0.0), pipe, TrainingImages(examples)).parameters) == [
        "UNet"
    ]


@pytest.mark.slow
def test_sd_15_has_the_authors_number_of_parameters(tmp_path: Path, memory: object) -> None:
    """589,824 a rank (fu_lora.md, computed from kohya's 264 modules), 18 % of them in the text encoder."""
    with torch.device("meta"):
        pipe = build("sd1", tmp_path, small=False, seed=0)
    picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    found = plan_training(changed(rank=8), pipe, TrainingImages(Examples([picture], ["a photo of fetal brain"])))
    assert sum(found.parameters.values()) == 4_718_592
    assert found.parameters["text encoder"] == 12 * 8 * (4 * 2 * 768 + 2 * (768 + 3072))


@pytest.mark.slow
def test_disk_is_what_is_then_written(
    tmp_path: Path, backbone: Path, examples: Examples, memory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("fulora.diffusion.training.train.remove_checkpoint", lambda out: None)
    cfg = changed(rank=64, keep="best", ema_decay=0.9, validate_every=2, steps=4, checkpoint_every=2)
    few = Examples(examples.pictures[:2], examples.captions[:2])
    disk = plan_training(cfg, load_backbone(backbone), TrainingImages(few, validation=few)).disk
    fit(tmp_path, cfg, load_backbone(backbone), few, validation=few)
    assert load_checkpoint(tmp_path) is not None
    written = sum(path.stat().st_size for path in (tmp_path / "checkpoints").glob("*.pt"))
    assert disk["2 checkpoints while it trains"] == pytest.approx(written, rel=0.05)
    assert disk["the LoRA"] == pytest.approx((tmp_path / FILE).stat().st_size, rel=0.05)


def test_sample_grids_are_counted(pipe: Pipeline, examples: Examples, memory: object) -> None:
    disk = plan_training(
        changed(samples=SamplesConfig(every=8, per_caption=3), steps=20), pipe, TrainingImages(examples)
    ).disk
    assert disk["4 sample grids at most"] == 4 * 2 * 3 * 32 * 32  # before the first step, after 8, 16 and 20


def test_lines_tell_all_of_it(pipe: Pipeline, memory: object) -> None:
    cfg = changed(sizes="buckets", resolution_px=48, bucket_step_px=8, flip=True, steps=30)
    others = HeldOutSet("the test set", frozenset({"x/y/9"}), frozenset({"0"}))
    lines = plan_training(
        cfg, pipe, TrainingImages(mixed(), planes=["brain", "femur", "brain"], patients={"x/y/1"}, excluded=[others])
    ).lines()
    assert [line.split() for line in lines[:4]] == [
        ["images", "56x32", "32x56", "all"],
        ["brain", "1", "1", "2"],
        ["femur", "1", "0", "1"],
        ["all", "2", "1", "3"],
    ]
    assert lines[4:7] == [
        "3 mirror images are encoded too; 0 images for the validation loss, 0 prior images",
        "30 steps of 2 images: 20 epochs, the times each image is seen",
        "9,344 parameters are trained (UNet 8,448, text encoder 896)",
    ]
    assert lines[7:9] == [
        "adamw with fp32 weights, the base in fp32",
        "memory: about 3.0 GB on a GPU, or 4.5 MB on the CPU",
    ]
    assert lines[9].startswith("disk: 0.3 MB (the LoRA 0.0 MB, 2 checkpoints while it trains 0.2 MB")
    assert lines[-1] == "checked: 1 patients and all pictures: none is in the test set"


def test_the_library_of_an_optimizer_is_asked_for(
    pipe: Pipeline, examples: Examples, memory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(__import__("sys").modules, "prodigyopt", None)
    with pytest.raises(LoraError, match="optimizer=prodigy needs prodigyopt"):
        plan_training(changed(optimizer="prodigy"), pipe, TrainingImages(examples))


def test_a_good_set_passes(pipe: Pipeline, examples: Examples) -> None:
    others = HeldOutSet("the test set", frozenset({"a/b/2"}), frozenset({pixel_digest(np.zeros((32, 32), np.uint8))}))
    lines = check_plan(
        CONFIG, pipe, TrainingImages(examples, validation=examples, patients={"a/b/1"}, excluded=[others])
    )
    assert lines[0] == "10 images, each with a caption that the text encoder reads in full, none blank"
    assert len(lines) == 3


@pytest.mark.parametrize(
    ("pictures", "texts", "message"),
    [
        (0, 0, "there are no training images"),
        (10, 7, "3 of 10 training images have no caption"),
        (7, 10, "3 of 10 training captions have no image"),
    ],
)
def test_pictures_and_captions_must_go_together(
    pipe: Pipeline, examples: Examples, pictures: int, texts: int, message: str
) -> None:
    with pytest.raises(LoraError, match=message):
        check_plan(CONFIG, pipe, TrainingImages(Examples(examples.pictures[:pictures], examples.captions[:texts])))


def test_faulty_validation_and_prior_images_are_named(pipe: Pipeline, examples: Examples) -> None:
    with pytest.raises(LoraError, match="1 of 1 validation captions are empty, the first of image 0"):
        check_plan(CONFIG, pipe, TrainingImages(examples, validation=Examples(examples.pictures[:1], [" "])))
    with pytest.raises(LoraError, match="there are no prior images"):
        check_plan(CONFIG, pipe, TrainingImages(examples, prior=Examples([], [])))


def test_blank_pictures_are_refused(pipe: Pipeline, examples: Examples) -> None:
    blank = [np.full((32, 32), 7, np.uint8)] * 5
    with pytest.raises(LoraError, match="5 training pictures are blank, 10, 11, 12 and 2 more: remove them"):
        check_plan(CONFIG, pipe, TrainingImages(Examples([*examples.pictures, *blank], ["a photo"] * 15)))


def test_a_caption_that_would_be_cut_off_is_refused(pipe: Pipeline, examples: Examples) -> None:
    with pytest.raises(BackboneError, match="the backbone reads 32; shorten it"):
        check_plan(CONFIG, pipe, TrainingImages(Examples(examples.pictures, ["fetal " * 40] * 10)))


def test_images_of_several_sizes_are_refused_without_buckets(pipe: Pipeline) -> None:
    with pytest.raises(LoraError, match="images of 2 sizes, 48x80 among them: use sizes=buckets"):
        check_plan(CONFIG, pipe, TrainingImages(mixed()))


@pytest.mark.parametrize(
    ("size", "near"),
    [((36, 32), "32x32, 40x32"), ((36, 44), "32x40, 32x48, 40x40, 40x48"), ((5, 32), "8x32")],
)
def test_sides_that_cannot_be_halved_are_refused(pipe: Pipeline, size: tuple[int, int], near: str) -> None:
    picture = np.random.default_rng(0).integers(0, 256, size[::-1]).astype(np.uint8)
    message = f"{size[0]}x{size[1]} pixels cannot be trained on: sides must be multiples of 8.*sizes are {near}: curate"
    with pytest.raises(LoraError, match=message):
        check_plan(CONFIG, pipe, TrainingImages(Examples([picture], ["a photo"])))


def test_a_bucket_step_that_cannot_be_halved_is_refused(tmp_path: Path) -> None:
    """SD 1.x: the autoencoder halves three times, the UNet three times more."""
    with torch.device("meta"):
        pipe = build("sd1", tmp_path, small=True, seed=0)
    picture = np.random.default_rng(0).integers(0, 256, (96, 64)).astype(np.uint8)
    cfg = changed(sizes="buckets", bucket_step_px=32)
    with pytest.raises(LoraError, match=r"64x96 pixels .* nearest sizes are 64x64, 64x128: set bucket_step_px=64"):
        check_plan(cfg, pipe, TrainingImages(Examples([picture], ["a photo"])))


def test_a_size_that_passes_comes_back_from_the_autoencoder_as_it_went_in(pipe: Pipeline) -> None:
    picture = np.random.default_rng(0).integers(0, 256, (40, 32)).astype(np.uint8)
    examples = Examples([picture], ["a photo"])
    check_plan(CONFIG, pipe, TrainingImages(examples))
    with torch.no_grad():
        latents = torch.stack(list(encode_examples(pipe.vae, examples, CONFIG).latents.mean))
        assert pipe.vae.decode(latents).sample.shape[-2:] == picture.shape


@pytest.mark.parametrize(("architecture", "deepest"), [("sd1", 12), ("sdxl", 11)])
def test_a_clip_skip_beyond_the_text_encoder_is_refused(tmp_path: Path, architecture: str, deepest: int) -> None:
    with torch.device("meta"):
        pipe = build(architecture, tmp_path, small=True, seed=0)  # type: ignore[arg-type]
    picture = np.random.default_rng(0).integers(0, 256, (64, 64)).astype(np.uint8)
    examples = Examples([picture], ["a photo"])
    check_plan(changed(clip_skip=deepest), pipe, TrainingImages(examples))
    with pytest.raises(LoraError, match=f"clip_skip={deepest + 1}: the text encoder has layers for 1 to {deepest}"):
        check_plan(changed(clip_skip=deepest + 1), pipe, TrainingImages(examples))


def test_a_patient_of_the_test_is_refused(pipe: Pipeline, examples: Examples) -> None:
    seen = {f"a/b/{number}" for number in range(10)}
    others = HeldOutSet("the test set", {"a/b/3", "a/b/4", "a/c/3"}, frozenset())
    with pytest.raises(LoraError, match="2 patients are among the training images and in the test set, a/b/3, a/b/4:"):
        check_plan(CONFIG, pipe, TrainingImages(examples, patients=seen, excluded=[others]))


def test_a_picture_of_the_test_is_refused(pipe: Pipeline, examples: Examples) -> None:
    others = HeldOutSet("the validation set", frozenset(), {pixel_digest(examples.pictures[4])})
    with pytest.raises(LoraError, match="1 training pictures are in the validation set too, pixel for pixel, 4:"):
        check_plan(CONFIG, pipe, TrainingImages(examples, excluded=[others]))


def test_what_the_training_would_refuse_is_refused_before_it(
    backbone: Path, examples: Examples, monkeypatch: pytest.MonkeyPatch
) -> None:
    pipe = load_backbone(backbone)
    with pytest.raises(LoraError, match="keep=best chooses by the loss on held-out patients, and there are none"):
        check_plan(changed(keep="best"), pipe, TrainingImages(examples))
    check_plan(changed(keep="best"), pipe, TrainingImages(examples, validation=examples))
    with monkeypatch.context() as patch:
        patch.setattr(planning, "join_processes", lambda device: Processes(0, 4, torch.device("cpu")))
        with pytest.raises(LoraError, match="batch_size=2 cannot be shared by 4 processes in 1 parts"):
            check_plan(CONFIG, pipe, TrainingImages(examples))
    with pytest.raises(ValueError, match="device=foo: torch cannot use it here"):
        check_plan(changed(device="foo"), pipe, TrainingImages(examples))
    pipe.scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(LoraError, match="'epsilon' and 'v_prediction' can be trained"):
        check_plan(CONFIG, pipe, TrainingImages(examples))


def test_rank_0_is_refused_by_the_config() -> None:
    with pytest.raises(ValidationError, match=r"rank\n  Input should be greater than 0"):
        LoraConfig(rank=0)


def test_memory_is_no_less_than_loading_the_backbone_took(
    pipe: Pipeline, examples: Examples, memory: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(planning, "peak_resident", lambda: 5 * 10**9)
    found = plan_training(changed(), pipe, TrainingImages(examples)).memory
    assert (found.gpu, found.cpu) == (3 * 10**9, 5 * 10**9)
