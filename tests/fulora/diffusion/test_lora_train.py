import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from PIL import Image as Pil
from safetensors import safe_open
from safetensors.torch import load_file

from fulora.data.pictures.embedded_metadata import read_mark
from fulora.diffusion.config import LoraConfig, SamplesConfig
from fulora.diffusion.lora.lora_error import LoraError
from fulora.diffusion.lora.training_facts import TrainingFacts, input_digests
from fulora.diffusion.models.architectures import build
from fulora.diffusion.models.conditioning import text_encoders
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training import train
from fulora.diffusion.training.batches import build_evaluation_grid, encode_examples
from fulora.diffusion.training.examples import Examples, add_image_counts
from fulora.diffusion.training.learner import build_learner, cast_and_adapt
from fulora.training.metrics_log import TrainingDivergedError
from fulora.training.processes import ALONE, Processes
from fulora.training.run_digest import run_digest

pytestmark = pytest.mark.slow

FILES = ["lora.safetensors", "metrics.jsonl"]
CONFIG = LoraConfig(
    rank=2,
    alpha=4,
    steps=6,
    batch_size=3,
    unet_learning_rate=1e-2,
    text_encoder_learning_rate=5e-3,
    log_every=1,
    validate_every=3,
    checkpoint_every=2,
    device="cpu",
)
SAMPLED = SamplesConfig(every=3, per_caption=2, steps=2)


def changed(**values: Any) -> LoraConfig:
    return LoraConfig.model_validate(CONFIG.model_dump() | values)


def logged(out: Path, key: str) -> list[tuple[float, float]]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [(row["step"], row[key]) for row in rows if key in row]


def run(out: Path, backbone: Path, examples: Examples, cfg: LoraConfig = CONFIG) -> int:
    held_out = Examples(examples.pictures[:4], examples.captions[:4])
    return train.fit(
        out, cfg, load_backbone(backbone), Examples(examples.pictures[4:], examples.captions[4:]), validation=held_out
    )


def learner_of(backbone: Path, examples: Examples, cfg: LoraConfig) -> tuple[Any, train.LoraData]:
    pipe = load_backbone(backbone)
    cast_and_adapt(pipe, cfg)
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config)
    data = train.LoraData({"lora": encode_examples(pipe.vae, examples, cfg)}, {})
    return build_learner(pipe, cfg, data.captions, ALONE), data


def contents(out: Path) -> dict[str, bytes]:
    return {str(path.relative_to(out)): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory, backbone: Path, examples: Examples) -> Path:
    out = tmp_path_factory.mktemp("lora")
    run(out, backbone, examples)
    return out


# --- checkpoints


def test_checkpoints_do_not_change_the_result(
    tmp_path: Path, uninterrupted: Path, backbone: Path, examples: Examples
) -> None:
    run(tmp_path, backbone, examples, changed(checkpoint_every=100))
    assert contents(tmp_path) == contents(uninterrupted)


def test_other_captions_and_other_validation_or_prior_images_are_another_training(examples: Examples) -> None:
    other = Examples(examples.pictures, ["other words"] * len(examples.captions))
    facts = [add_image_counts(TrainingFacts(), *images) for images in ((examples,), (other,), (examples, other))]
    facts.append(add_image_counts(TrainingFacts(), examples, None, other))
    assert len({run_digest(CONFIG, input_digests(each)) for each in facts}) == 4


# --- what is logged, and when it stops


def test_losses_norms_and_what_is_evaluated_are_logged(uninterrupted: Path) -> None:
    assert [step for step, _ in logged(uninterrupted, "loss")] == [1, 2, 3, 4, 5, 6]
    assert all(norm > 0 for _, norm in logged(uninterrupted, "grad_norm"))
    for name in ("validation_loss", "seen_loss"):
        assert [step for step, _ in logged(uninterrupted, name)] == [0, 3, 6]


def test_what_is_evaluated_is_the_same_at_every_call(backbone: Path, examples: Examples) -> None:
    learner, _ = learner_of(backbone, examples, CONFIG)
    first = train.evaluate(learner, CONFIG, build_evaluation_grid(learner.pipe, examples, CONFIG))
    torch.manual_seed(3)
    assert train.evaluate(learner, CONFIG, build_evaluation_grid(learner.pipe, examples, CONFIG)) == first
    other = changed(batch_size=5, min_snr_gamma=1.0, flip=True, seed=4)
    assert train.evaluate(learner, other, build_evaluation_grid(learner.pipe, examples, other)) == pytest.approx(
        first, rel=1e-5
    )


def test_the_evaluated_loss_is_that_of_six_timesteps_of_at_most_32_images(backbone: Path, examples: Examples) -> None:
    learner, _ = learner_of(backbone, examples, CONFIG)
    batches = build_evaluation_grid(learner.pipe, examples, CONFIG)
    times = [int(time) for batch in batches for time in batch.timesteps]
    assert len(times) == 10 * 6
    assert sorted(set(times)) == [83, 250, 416, 583, 750, 916]
    many = Examples([*examples.pictures] * 7, [*examples.captions] * 7)
    assert sum(len(batch.captions) for batch in build_evaluation_grid(learner.pipe, many, CONFIG)) == 32 * 6


def test_a_run_that_diverges_stops_and_keeps_the_last_good_weights(
    tmp_path: Path, backbone: Path, examples: Examples
) -> None:
    with pytest.raises(TrainingDivergedError, match=r"(?s)lower unet_.*came before the first checkpoint"):
        run(tmp_path / "early", backbone, examples, changed(unet_learning_rate=1e15, max_grad_norm=None))
    step = train.step

    def breaking(learner: Any, cfg: LoraConfig, data: object, done: int) -> object:
        found = step(learner, cfg, data, done)  # type: ignore[arg-type]
        if done == 5:
            learner.monitor.unread[-1] = torch.tensor(float("nan"))
        return found

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "step", breaking)
        with pytest.raises(TrainingDivergedError, match=r"the loss is nan at step 5.*weights after step 4.*last_good"):
            run(tmp_path / "late", backbone, examples)
    assert (tmp_path / "late" / "last_good.safetensors").is_file()
    run(tmp_path / "four", backbone, examples, changed(steps=4))
    kept, straight = (
        load_file(path) for path in (tmp_path / "late" / "last_good.safetensors", tmp_path / "four" / FILES[0])
    )
    assert all(torch.equal(kept[key], straight[key]) for key in straight)


def test_weights_that_are_not_finite_are_never_checkpointed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path, examples: Examples
) -> None:
    step = train.step

    def breaking(learner: Any, cfg: LoraConfig, data: object, done: int) -> object:
        found = step(learner, cfg, data, done)  # type: ignore[arg-type]
        if done == 4:
            with torch.no_grad():
                learner.parameters[0][0, 0] = float("inf")
        return found

    monkeypatch.setattr(train, "step", breaking)
    with pytest.raises(TrainingDivergedError, match=r"weights are not finite after step 4.*weights after step 2"):
        run(tmp_path, backbone, examples)


# --- the arithmetic


def test_gradients_are_clipped_to_max_grad_norm(backbone: Path, examples: Examples) -> None:
    """With plain gradient descent of rate 1 the weights move by exactly the clipped gradient."""
    cfg = changed(max_grad_norm=1e-3, unet_learning_rate=1.0, text_encoder_learning_rate=1.0)
    learner, data = learner_of(backbone, examples, cfg)
    groups = [{"params": learner.parameters, "base_lr": 1.0}]
    learner.optimizer = torch.optim.SGD(groups, lr=1.0)
    before = [parameter.detach().clone() for parameter in learner.parameters]
    norm = train.step(learner, cfg, data, 1)
    moved = torch.cat([(p.detach() - b).flatten() for p, b in zip(learner.parameters, before, strict=True)]).norm()
    assert float(norm) > 2e-3
    assert float(moved) == pytest.approx(1e-3, rel=1e-2)


def test_clipping_changes_the_update_and_no_limit_does_not_clip(backbone: Path, examples: Examples) -> None:
    moved = {}
    for limit in (1e-3, 1e9, None):
        cfg = changed(max_grad_norm=limit)
        learner, data = learner_of(backbone, examples, cfg)
        learner.optimizer = torch.optim.SGD([{"params": learner.parameters, "base_lr": 1.0}], lr=1.0)
        train.step(learner, cfg, data, 1)
        moved[limit] = torch.cat([parameter.detach().flatten() for parameter in learner.parameters])
    assert torch.equal(moved[None], moved[1e9])
    assert not torch.equal(moved[None], moved[1e-3])


def test_accumulation_changes_memory_and_not_the_update(backbone: Path, examples: Examples) -> None:
    found = []
    for parts in (1, 3):
        learner, data = learner_of(backbone, examples, changed(accumulation=parts))
        train.step(learner, changed(accumulation=parts), data, 1)
        found.append(torch.cat([parameter.grad.flatten() for parameter in learner.parameters]))
    assert torch.allclose(found[0], found[1], rtol=1e-3, atol=1e-6 * float(found[0].abs().max()) + 1e-7)


def test_gradient_checkpointing_changes_nothing(
    tmp_path: Path, backbone: Path, examples: Examples, uninterrupted: Path
) -> None:
    run(tmp_path, backbone, examples, changed(gradient_checkpointing=True))
    assert contents(tmp_path) == contents(uninterrupted)


@pytest.mark.parametrize("precision", ["bf16", "fp16"])
def test_the_lora_its_gradients_and_the_optimizer_are_fp32_under_a_half_base(
    backbone: Path, examples: Examples, precision: str
) -> None:
    cfg = changed(precision=precision)
    learner, data = learner_of(backbone, examples, cfg)
    half = {"bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    frozen = [p for p in learner.pipe.unet.parameters() if not p.requires_grad]
    assert {p.dtype for p in frozen} == {half}
    assert {p.dtype for p in learner.pipe.vae.parameters()} == {torch.float32}
    before = [parameter.detach().clone() for parameter in learner.parameters]
    for done in (1, 2):
        train.step(learner, cfg, data, done)
    assert {p.dtype for p in learner.parameters} == {torch.float32}
    assert {p.grad.dtype for p in learner.parameters if p.grad is not None} == {torch.float32}
    states = [value for state in learner.optimizer.state.values() for value in state.values()]
    assert {value.dtype for value in states} == {torch.float32}
    assert all(not torch.equal(p, b) for p, b in zip(learner.parameters, before, strict=True))


def test_an_update_too_small_for_bf16_is_not_lost(backbone: Path, examples: Examples) -> None:
    """bf16 cannot hold a step of 1e-4 at 0.046875: it would round to nothing."""
    start = torch.tensor(0.046875)
    assert start.bfloat16() == start
    assert start.bfloat16() - 1e-4 == start
    cfg = changed(precision="bf16", unet_learning_rate=1e-4, text_encoder_learning_rate=0.0, weight_decay=0.0)
    learner, data = learner_of(backbone, examples, cfg)
    with torch.no_grad():
        for parameter in learner.parameters:
            parameter.fill_(start)
    train.step(learner, cfg, data, 1)
    steps = torch.cat([(start - parameter.detach()).abs().flatten() for parameter in learner.parameters])
    assert float(steps.median()) == pytest.approx(1e-4, rel=0.01)


def test_the_average_is_what_is_kept(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    weights = {}
    for decay in (None, 0.0, 0.9):
        run(tmp_path / str(decay), backbone, examples, changed(ema_decay=decay))
        weights[decay] = load_file(tmp_path / str(decay) / FILES[0])
    assert all(torch.equal(weights[None][key], weights[0.0][key]) for key in weights[None])
    assert any(not torch.equal(weights[None][key], weights[0.9][key]) for key in weights[None])


def test_the_best_weights_are_those_of_the_lowest_validation_loss(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path, examples: Examples
) -> None:
    calls = iter(range(100))

    def lowest_at_four(*arguments: object) -> float:
        return abs(next(calls) // 2 - 4.0)  # two losses a look, the first before step 1

    cfg = changed(keep="best", validate_every=1)
    with monkeypatch.context() as patch:
        patch.setattr(train, "evaluate", lowest_at_four)
        assert run(tmp_path / "best", backbone, examples, cfg) == 4
    assert [loss for _, loss in logged(tmp_path / "best", "validation_loss")] == [4, 3, 2, 1, 0, 1, 2]
    run(tmp_path / "short", backbone, examples, changed(steps=4))
    kept, straight = (load_file(tmp_path / name / FILES[0]) for name in ("best", "short"))
    assert all(torch.equal(kept[key], straight[key]) for key in kept)
    with safe_open(tmp_path / "best" / FILES[0], "pt") as file:
        assert file.metadata()["ss_steps"] == "4"


def test_both_parts_learn_or_the_unet_alone(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    for rate in (0.0, 1e-3):
        pipe = load_backbone(backbone)
        cfg = changed(text_encoder_learning_rate=rate, min_snr_gamma=5.0)
        train.fit(tmp_path / str(rate), cfg, pipe, examples)
        ups = [p for n, p in pipe.unet.named_parameters() if "lora_B" in n]
        text_ups = [p for n, p in pipe.text_encoder.named_parameters() if "lora_B" in n]
        assert all(up.any() for up in ups)
        assert bool(text_ups) == (rate > 0)
        assert all(up.any() for up in text_ups)
        assert not logged(tmp_path / str(rate), "validation_loss")


def test_with_clip_skip_2_the_last_text_layer_never_learns(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    pipe = load_backbone(backbone)
    train.fit(tmp_path, changed(clip_skip=2), pipe, examples)
    learned = {n: bool(p.any()) for n, p in pipe.text_encoder.named_parameters() if "lora_B" in n}
    assert all(yes == ("layers.0." in name) for name, yes in learned.items())
    assert len(set(learned.values())) == 2


def test_a_lora_learns_its_images(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    same = np.repeat(np.random.default_rng(1).integers(0, 256, (1, 32, 32)).astype(np.uint8), 10, axis=0)
    images = Examples(list(same), examples.captions)
    cfg = changed(steps=24, validate_every=12, batch_size=8, rank=8, alpha=8.0)
    train.fit(tmp_path, cfg, load_backbone(backbone), images, validation=images)
    losses = [loss for _, loss in logged(tmp_path, "validation_loss")]
    assert losses[-1] < losses[0]
    assert logged(tmp_path, "seen_loss") == logged(tmp_path, "validation_loss")


def test_prior_images_pull_the_update(backbone: Path, examples: Examples) -> None:
    """The gradient with prior images is that of the images and `prior_weight` times that of the prior images."""
    cfg = changed(prior_weight=0.5, caption_dropout=0.0)
    gradients = {}
    prior = Examples([255 - picture for picture in examples.pictures], examples.captions)
    for names in (("lora",), ("prior",), ("lora", "prior")):
        learner, _ = learner_of(backbone, examples, cfg)
        parts = {
            "lora": encode_examples(learner.pipe.vae, examples, cfg),
            "prior": encode_examples(learner.pipe.vae, prior, cfg),
        }
        train.step(learner, cfg, train.LoraData({name: parts[name] for name in names}, {}), 1)
        gradients[names] = torch.cat([parameter.grad.flatten() for parameter in learner.parameters])
    both, alone, of_prior = gradients["lora", "prior"], gradients["lora",], gradients["prior",]
    clipped = [float(g.norm()) for g in (both, alone, of_prior)]
    assert max(clipped) < cfg.max_grad_norm  # nothing was clipped
    assert torch.allclose(both, alone + of_prior, atol=1e-7 + 1e-4 * float(both.abs().max()))


@pytest.mark.parametrize("architecture", ["sd2-v", "sdxl"])
def test_other_architectures_learn_in_every_part(tmp_path: Path, architecture: str, shallow_sdxl: None) -> None:
    pipe = build(architecture, tmp_path / "words", small=True, seed=0)  # type: ignore[arg-type]
    side = 64 if architecture == "sdxl" else 128  # at 64, the middle of SD 2.x has one place, and nothing to attend to
    pictures = [np.random.default_rng(n).integers(0, 256, (side, side)).astype(np.uint8) for n in range(2)]
    train.fit(tmp_path / "out", changed(steps=1, batch_size=1), pipe, Examples(pictures, ["brain", "femur"]))
    parts = {"unet": pipe.unet, **text_encoders(pipe)}
    learned = {
        name: [bool(p.any()) for n, p in part.named_parameters() if "lora_B" in n] for name, part in parts.items()
    }
    assert len(learned) == (3 if architecture == "sdxl" else 2)
    assert all(learned["unet"])
    for name, found in learned.items():
        assert sum(found) >= len(found) - (
            6 if architecture == "sdxl" and name != "unet" else 0
        )  # one layer is skipped
        assert any(found)


# --- samples


def test_sample_grids_have_a_row_a_caption_and_are_marked(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    run(tmp_path, backbone, examples, changed(samples=SAMPLED))
    grids = sorted((tmp_path / "samples").iterdir())
    assert [path.name for path in grids] == ["step_000000.png", "step_000003.png", "step_000006.png"]
    with Pil.open(grids[0]) as first, Pil.open(grids[2]) as last:
        assert first.size == (2 * 32 + 4, 2 * 32 + 4)
        assert np.asarray(first).std() > 5
        assert not np.array_equal(np.asarray(first), np.asarray(last))
    mark = read_mark(grids[1])
    assert mark is not None
    assert mark.synthetic
    assert "step 3" in mark.generator


def test_looking_does_not_change_what_is_learned(
    tmp_path: Path, backbone: Path, examples: Examples, uninterrupted: Path
) -> None:
    run(tmp_path, backbone, examples, changed(samples=SAMPLED, validate_every=1, log_every=4))
    assert [step for step, _ in logged(tmp_path, "loss")] == [4, 6]
    mine, theirs = load_file(tmp_path / FILES[0]), load_file(uninterrupted / FILES[0])
    assert all(torch.equal(mine[key], theirs[key]) for key in theirs)


# --- what is refused


def test_images_without_captions_are_refused(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    with pytest.raises(LoraError, match="10 images and 3 captions"):
        train.fit(tmp_path, CONFIG, load_backbone(backbone), Examples(examples.pictures, examples.captions[:3]))


def test_a_backbone_that_predicts_the_sample_is_refused(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    pipe = load_backbone(backbone)
    pipe.scheduler.register_to_config(prediction_type="sample")
    with pytest.raises(LoraError, match="'epsilon' and 'v_prediction' can be trained"):
        train.fit(tmp_path, CONFIG, pipe, examples)


def test_best_weights_without_validation_images_are_refused(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    with pytest.raises(LoraError, match="keep=best chooses by the loss on held-out patients, and there are none"):
        train.fit(tmp_path, changed(keep="best"), load_backbone(backbone), examples)


def test_a_batch_that_processes_cannot_share_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, backbone: Path, examples: Examples
) -> None:
    monkeypatch.setattr(train, "join_processes", lambda device: Processes(0, 2, torch.device("cpu")))
    with pytest.raises(LoraError, match="cannot be shared by 2 processes in 1 parts: use a multiple of 2"):
        train.fit(tmp_path, CONFIG, load_backbone(backbone), examples)


def test_images_of_several_sizes_need_buckets(tmp_path: Path, backbone: Path, examples: Examples) -> None:
    pictures = [*examples.pictures[:9], np.pad(examples.pictures[9], ((0, 0), (0, 9)))]
    mixed = Examples(pictures, examples.captions)
    with pytest.raises(LoraError, match=r"images of 2 sizes.*use sizes=buckets"):
        train.fit(tmp_path, CONFIG, load_backbone(backbone), mixed)
    train.fit(tmp_path, changed(sizes="buckets", resolution_px=32, bucket_step_px=8), load_backbone(backbone), mixed)
    assert sorted(contents(tmp_path)) == FILES
