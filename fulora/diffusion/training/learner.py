"""The state of a LoRA training: adapters, optimizer, moving average, best weights."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch

from fulora.diffusion.config import LoraConfig
from fulora.diffusion.lora.adapters import add_lora, all_lora_parameters
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import Conditioning, embed, text_encoders
from fulora.diffusion.models.loading import quiet
from fulora.diffusion.training.loss_watch import LossMonitor
from fulora.diffusion.training.optimizers import build_optimizer
from fulora.training.averages import MovingAverage, use_average
from fulora.training.checkpointer import Stateful
from fulora.training.checkpoints import BestModel
from fulora.training.metrics_log import TrainingDivergedError
from fulora.training.processes import Processes

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


@dataclass
class LoraLearner:
    """The state of a training.

    Attributes:
        unet: the pipeline's UNet, compiled or not.
        texts: the embedding of each caption, unless the text encoders are trained.
        average: the moving average of the weights, if the config asks for one.
        best: the weights with the lowest validation loss; its score is minus the loss.
    """

    pipe: Pipeline
    unet: Callable[..., Any]
    parameters: list[torch.nn.Parameter]
    optimizer: torch.optim.Optimizer
    scaler: torch.amp.GradScaler
    processes: Processes
    monitor: LossMonitor
    texts: dict[str, Conditioning] | None
    average: MovingAverage | None
    best: BestModel = field(default_factory=BestModel)

    @property
    def adapters(self) -> torch.nn.ParameterList:
        """The trained parameters as a module."""
        return torch.nn.ParameterList(self.parameters)

    @property
    def dtype(self) -> torch.dtype:
        """The precision of the frozen base, read from one layer: `unet.dtype` walks through all, at every call."""
        dtype: torch.dtype = self.pipe.unet.conv_in.weight.dtype
        return dtype

    def autocast(self) -> torch.autocast:
        """Return a context for arithmetic in the base's precision."""
        return torch.autocast(self.processes.device.type, self.dtype, enabled=self.dtype != torch.float32)

    def conditioning(self, captions: Sequence[str], clip_skip: int) -> Conditioning:
        """Return embeddings of captions in the base's precision; computed only if the text encoders are trained."""
        if self.texts is None:
            return embed(self.pipe, captions, clip_skip).to(self.dtype)
        embeddings = [self.texts[caption] for caption in captions]
        pooled = [one.pooled for one in embeddings if one.pooled is not None]
        return Conditioning(torch.cat([one.states for one in embeddings]), torch.cat(pooled) if pooled else None)

    def _parts(self) -> dict[str, Stateful]:
        average: dict[str, Stateful] = {} if self.average is None else {"average": self.average}
        return {
            "lora": self.adapters,
            "optimizer": self.optimizer,
            "scaler": self.scaler,
            "monitor": self.monitor,
            "best": self.best,
            **average,
        }

    def state_dict(self) -> dict[str, Any]:
        """Return what a checkpoint keeps.

        Raises:
            TrainingDivergedError: if a loss or a weight is not finite, or the losses have a spike.
        """
        state = {name: part.state_dict() for name, part in self._parts().items()}
        norms = torch.stack([parameter.detach().norm() for parameter in self.parameters])
        if not norms.isfinite().all():
            raise TrainingDivergedError(
                f"the weights are not finite after step {self.monitor.step}: lower the learning rates"
            )
        return state

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Continue from what `state_dict` returned."""
        for name, part in self._parts().items():
            part.load_state_dict(state[name])

    @contextmanager
    def kept_weights(self) -> Iterator[None]:
        """Use the weights that would be kept, the moving average if there is one, while the context is active."""
        with use_average(self.average, self.parameters):
            yield


def cast_and_adapt(pipe: Pipeline, cfg: LoraConfig) -> None:
    """Cast the base, on the CPU, and add adapters in fp32. The autoencoder stays fp32: fp16 gives NaN."""
    with quiet():  # a warning about modules that are to stay fp32, of which there are none
        for module in (pipe.unet, *text_encoders(pipe).values()):
            module.to(PRECISIONS[cfg.precision])
    add_lora(pipe, cfg)
    if cfg.gradient_checkpointing:
        pipe.unet.enable_gradient_checkpointing()
        pipe.unet.train()


def build_learner(pipe: Pipeline, cfg: LoraConfig, captions: Sequence[str], together: Processes) -> LoraLearner:
    """Build the state before the first step, on the device.

    Text encoders that are not trained embed all captions once, and are moved back to the CPU.
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
        monitor=LossMonitor(cfg.spike),
        texts=texts,
        average=None if cfg.ema_decay is None else MovingAverage(parameters, cfg.ema_decay),
    )
