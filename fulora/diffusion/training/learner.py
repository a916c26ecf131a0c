"""What a LoRA training changes: adapters, optimizer, averages; set up, put into a checkpoint and taken out of it."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import Conditioning, embed, text_encoders
from fulora.diffusion.models.loading import quiet
from fulora.diffusion.training.loss_watch import LossMonitor
from fulora.diffusion.training.optimizers import build_optimizer
from fulora.training.averages import MovingAverage, copy_into, use_average
from fulora.training.processes import Processes

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass(frozen=True)
class BestLora:
    """The weights with the lowest validation loss so far."""

    loss: float
    step: int
    weights: list[Tensor]


@dataclass
class LoraLearner:
    """The parts of a training in progress.

    Attributes:
        unet: what is called: the pipeline's UNet, compiled or not.
        texts: the embedding of every caption, where the text encoders do not learn.
        average: the moving average of the weights, where one is kept.
        best: where the best weights are kept, from the first validation on.
    """

    pipe: Pipeline
    unet: Callable[..., Any]
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    processes: Processes
    watch: LossMonitor
    texts: dict[str, Conditioning] | None
    average: MovingAverage | None
    best: BestLora | None = None

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the frozen base, asked of one layer: `unet.dtype` walks through all, at every call."""
        dtype: torch.dtype = self.pipe.unet.conv_in.weight.dtype
        return dtype

    def autocast(self) -> torch.autocast:
        """Arithmetic in the base's precision."""
        return torch.autocast(self.processes.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def conditioning(self, captions: Sequence[str], clip_skip: int) -> Conditioning:
        """Embeddings of captions, in the base's precision: looked up, or computed where the text encoders learn."""
        if self.texts is None:
            return embed(self.pipe, captions, clip_skip).to(self.dtype)
        found = [self.texts[caption] for caption in captions]
        pooled = [one.pooled for one in found if one.pooled is not None]
        return Conditioning(torch.cat([one.states for one in found]), torch.cat(pooled) if pooled else None)

    def state(self) -> dict[str, Any]:
        """What a checkpoint keeps."""
        return {
            "lora": [parameter.detach() for parameter in self.parameters],
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "watch": self.watch.state(),
            "average": self.average.values if self.average else None,
            "best": (self.best.loss, self.best.step, self.best.weights) if self.best else None,
        }

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a checkpoint."""
        copy_into(self.parameters, state["lora"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        self.watch.restore(state["watch"])
        if self.average:
            copy_into(self.average.values, state["average"])
        self.best = BestLora(*state["best"]) if state["best"] else None

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """Inside, the weights are those that would be kept: their moving average, where there is one."""
        with use_average(self.average, self.parameters):
            yield


def cast_and_adapt(pipe: Pipeline, cfg: LoraConfig) -> None:
    """The base in its precision, and adapters in fp32 on it, on the CPU. The autoencoder stays fp32: fp16 gives NaN."""
    with quiet():  # a note on modules that are to stay fp32, of which there are none
        for module in (pipe.unet, *text_encoders(pipe).values()):
            module.to(PRECISIONS[cfg.precision])
    add_lora(pipe, cfg)
    if cfg.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
        pipe.unet.train()


def build_learner(pipe: Pipeline, cfg: LoraConfig, captions: Sequence[str], together: Processes) -> LoraLearner:
    """Everything on the device, ready for its first step.

    Text encoders that do not learn embed all captions once, and are moved back to the CPU.
    """
    device = together.device
    for encoder in text_encoders(pipe).values():
        encoder.to(device)
    texts = None
    if cfg.text_encoder_learning_rate == 0:
        dtype = PRECISIONS[cfg.precision]
        with torch.no_grad(), torch.autocast(device.type, dtype, enabled=dtype != torch.float32):
            texts = {text: embed(pipe, [text], cfg.clip_skip).to(dtype) for text in sorted({*captions, ""})}
        for encoder in text_encoders(pipe).values():
            encoder.to("cpu")
    pipe.unet.to(device)
    if device.type == "cuda":
        pipe.unet.to(memory_format=torch.channels_last)
    parameters = all_lora_parameters(pipe)
    return LoraLearner(
        pipe=pipe,
        unet=pipe.unet,
        parameters=parameters,
        optimizer=build_optimizer(pipe, cfg),
        scaler=torch.amp.GradScaler(device.type, enabled=cfg.precision == "fp16"),
        processes=together,
        watch=LossMonitor(cfg.spike),
        texts=texts,
        average=None if cfg.ema_decay is None else MovingAverage(parameters, cfg.ema_decay),
    )
