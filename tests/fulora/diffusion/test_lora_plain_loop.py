"""Ten steps of fulora against ten steps of a loop that anybody would write with peft, diffusers and torch."""

from pathlib import Path

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from peft import LoraConfig as PeftConfig
from peft import get_peft_model
from torch.nn.functional import mse_loss

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.models.loading import load_backbone
from fulora.diffusion.training import train
from fulora.diffusion.training.batches import draw_batch, encode_examples
from fulora.diffusion.training.examples import Examples
from fulora.diffusion.training.learner import build_learner, cast_and_adapt
from fulora.training.processes import Processes

STEPS = 10


def ours(backbone: Path, cfg: LoraConfig, examples: Examples, prediction: str) -> tuple[list[float], torch.Tensor]:
    pipe = load_backbone(backbone)
    cast_and_adapt(pipe, cfg)
    pipe.scheduler = DDPMScheduler.from_config(pipe.scheduler.config, prediction_type=prediction)
    data = train.LoraData({"lora": encode_examples(pipe.vae, examples, cfg)}, {})
    learner = build_learner(pipe, cfg, data.captions, Processes(0, 1, torch.device("cpu")))
    for done in range(1, STEPS + 1):
        train.step(learner, cfg, data, done)
    weights = torch.cat([parameter.detach().flatten() for parameter in learner.parameters])
    return [float(loss) for loss in learner.monitor.unread], weights


def plain(backbone: Path, cfg: LoraConfig, examples: Examples, prediction: str) -> tuple[list[float], torch.Tensor]:
    """Only the batches' draws are taken from fulora: images, noise, timesteps and dropped captions."""
    pipe = load_backbone(backbone)
    scheduler = DDPMScheduler.from_config(pipe.scheduler.config, prediction_type=prediction)
    parts = {"unet": ["to_q", "to_k", "to_v", "to_out.0", "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"]}
    parts |= {"text_encoder": ["q_proj", "k_proj", "v_proj", "out_proj", "fc1", "fc2"]}
    torch.manual_seed(cfg.seed)
    models = {}
    for name, targets in parts.items():
        settings = PeftConfig(r=cfg.rank, lora_alpha=cfg.alpha, target_modules=targets, init_lora_weights="gaussian")
        models[name] = get_peft_model(getattr(pipe, name), settings)
    groups = [
        {"params": [p for p in models[name].parameters() if p.requires_grad], "lr": rate}
        for name, rate in (("unet", cfg.unet_learning_rate), ("text_encoder", cfg.text_encoder_learning_rate))
    ]
    parameters = [p for group in groups for p in group["params"]]
    optimizer = torch.optim.AdamW(groups, weight_decay=cfg.weight_decay)
    data, losses = encode_examples(pipe.vae, examples, cfg), []
    for step in range(STEPS):
        batch = draw_batch(data, cfg, scheduler, step, "lora")
        ids = pipe.tokenizer(
            batch.captions, padding="max_length", max_length=pipe.tokenizer.model_max_length, return_tensors="pt"
        ).input_ids
        words = models["text_encoder"](input_ids=ids)[0]
        noisy = scheduler.add_noise(batch.latents, batch.noise, batch.timesteps)
        predicted = models["unet"](noisy, batch.timesteps, words).sample
        target = batch.noise
        snr = compute_snr(scheduler, batch.timesteps)
        weights = torch.minimum(snr, torch.tensor(5.0)) / snr
        if scheduler.config.prediction_type == "v_prediction":
            target = scheduler.get_velocity(batch.latents, batch.noise, batch.timesteps)
            weights = torch.minimum(snr, torch.tensor(5.0)) / (snr + 1)
        loss = (mse_loss(predicted, target, reduction="none").mean((1, 2, 3)) * weights).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        losses.append(loss.item())
    return losses, torch.cat([p.detach().flatten() for p in parameters])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing`:FutureWarning")  # peft asks transformers for it
@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_ten_steps_are_those_of_a_plain_peft_loop(backbone: Path, examples: Examples, prediction: str) -> None:
    cfg = LoraConfig(
        rank=4, alpha=2, steps=STEPS, batch_size=2, min_snr_gamma=5, weight_decay=0.01, text_encoder_learning_rate=5e-4
    )
    mine, theirs = ours(backbone, cfg, examples, prediction), plain(backbone, cfg, examples, prediction)
    assert mine[0] == pytest.approx(theirs[0], rel=1e-5)
    assert mine[0] != pytest.approx([theirs[0][0]] * STEPS, rel=1e-2)  # losses do differ from step to step
    assert torch.allclose(mine[1], theirs[1], atol=1e-5)
