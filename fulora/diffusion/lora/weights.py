"""A LoRA, independent of its file format: the adapted layers and the update of each."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

import torch
from jaxtyping import Float
from torch import Tensor

from fulora.diffusion.lora.lora_error import LoraError

if TYPE_CHECKING:  # diffusers takes seconds to import, and the files of LoRAs are read without it
    from fulora.diffusion.models.architectures import Pipeline

PARTS = ("unet", "text_encoder", "text_encoder_2")

AlphaSource = Literal["tensor", "header", "rank"]
"""Source of a layer's alpha: its own tensor, the settings of peft's adapters, or, if both are missing, the rank."""


@dataclass(frozen=True)
class LoraModule:
    """One adapted layer: `scale * up @ down` is added to its weight (Hu et al. 2021).

    Attributes:
        down: (rank, in), of a convolution (rank, in, height, width).
        up: (out, rank), of a convolution (out, rank, 1, 1).
        rslora: the scale is alpha / sqrt(rank), not alpha / rank (Kalajdzievski 2023).
        magnitude: with DoRA (Liu et al. 2024), the length of each row of the sum.
    """

    down: Float[Tensor, "rank *columns"]
    up: Float[Tensor, "rows *rank"]
    alpha: float
    rslora: bool = False
    magnitude: Float[Tensor, " rows"] | None = None
    alpha_from: AlphaSource = "tensor"

    @property
    def rank(self) -> int:
        """The number of rows of `down`."""
        return int(self.down.shape[0])

    @property
    def scale(self) -> float:
        """The factor of the product of the two matrices."""
        return self.alpha / (math.sqrt(self.rank) if self.rslora else self.rank)

    @property
    def plain_alpha(self) -> float:
        """The alpha that gives the same scale without rsLoRA."""
        return self.alpha * math.sqrt(self.rank) if self.rslora else self.alpha

    def applied_to(self, weight: Float[Tensor, "rows *columns"], strength: float) -> Float[Tensor, "rows *columns"]:
        """Return the weight with the LoRA added, in fp32, as peft computes it.

        `strength` scales the update; DoRA's magnitude is not scaled, so strength 0 does not give the weight.
        """
        up, down = (part.flatten(1).to(weight.device, torch.float32) for part in (self.up, self.down))
        adapted: Tensor = weight.float() + strength * self.scale * (up @ down).reshape(weight.shape)
        if self.magnitude is None:
            return adapted
        lengths = torch.linalg.vector_norm(adapted.flatten(1), dim=1)
        factors = self.magnitude.to(weight.device, torch.float32) / lengths
        return torch.mul(adapted, factors.reshape(-1, *[1] * (weight.ndim - 1)))

    def norm(self) -> float:
        """Return the Frobenius norm of the update without DoRA's magnitude, computed from two rank x rank matrices."""
        up, down = self.up.flatten(1).double(), self.down.flatten(1).double()
        return abs(self.scale) * math.sqrt(max(0.0, ((up.T @ up) * (down @ down.T)).sum().item()))


@dataclass(frozen=True)
class Lora:
    """The layers and metadata of a LoRA.

    Attributes:
        modules: by part and the name that the layer has in a pipeline of published weights, in order of names:
            `unet.mid_block.attentions.0.proj_in`, `text_encoder.text_model.encoder.layers.0.mlp.fc1`.
        metadata: the header of its file, without what the format itself needs.
        layout: of its file, such as `kohya`.
        unused_alphas: what its header says of layers whose own tensors say another alpha, which is used.
    """

    modules: Mapping[str, LoraModule]
    metadata: Mapping[str, str] = field(default_factory=dict)
    layout: str = "pipeline"
    unused_alphas: tuple[float, ...] = ()

    @property
    def alpha_known(self) -> bool:
        """Whether the file has the alpha of every layer; a missing one is taken to be the rank, as in all tools."""
        return all(module.alpha_from != "rank" for module in self.modules.values())

    def parts(self) -> dict[str, dict[str, LoraModule]]:
        """Return the modules of each part that has any."""
        by_part = {part: {n: m for n, m in self.modules.items() if n.partition(".")[0] == part} for part in PARTS}
        return {part: modules for part, modules in by_part.items() if modules}


def extract_lora(pipe: "Pipeline") -> Lora:
    """Return the unfused LoRA of a pipeline, on the CPU.

    Raises:
        LoraError: if it has none, or more than one.
    """
    from fulora.diffusion.models.conditioning import text_encoders

    modules = {}
    for part, model in {"unet": pipe.unet, **text_encoders(pipe)}.items():
        adapters = getattr(model, "peft_config", {})
        if len(adapters) > 1:
            raise LoraError(f"the {part} holds {len(adapters)} LoRAs, {', '.join(adapters)}: a file holds one")
        for adapter, settings in adapters.items():
            for name, layer in model.named_modules():
                if adapter in getattr(layer, "lora_A", {}):
                    modules[f"{part}.{_published(part, name)}"] = _module(layer, adapter, settings.use_rslora)
    if not modules:
        raise LoraError("the pipeline holds no LoRA: there is nothing to save")
    return Lora(dict(sorted(modules.items())))


def _published(part: str, name: str) -> str:
    """Published text encoders have their layers under `text_model`, those of transformers 5 have not."""
    return f"text_model.{name}" if part != "unet" and name.startswith("encoder.") else name


def _module(layer: Any, adapter: str, rslora: bool) -> LoraModule:
    def kept(weight: Tensor) -> Tensor:
        return weight.detach().cpu().contiguous()

    has_magnitude = adapter in layer.lora_magnitude_vector
    return LoraModule(
        down=kept(layer.lora_A[adapter].weight),
        up=kept(layer.lora_B[adapter].weight),
        alpha=float(layer.lora_alpha[adapter]),
        rslora=bool(rslora),
        magnitude=kept(layer.lora_magnitude_vector[adapter].weight).flatten() if has_magnitude else None,
    )


@torch.no_grad()
def fuse(pipe: "Pipeline", lora: Lora, strength: float, text_strength: float | None = None) -> None:
    """Add a LoRA, `strength` times, to the pipeline's weights permanently.

    Args:
        text_strength: strength in the text encoders, if different.

    Raises:
        LoraError: if the pipeline has an unfused LoRA, or a layer is missing or has another size; nothing is changed.
    """
    fused = []
    for part, modules in lora.parts().items():
        model = getattr(pipe, part, None)
        if model is None:
            raise LoraError(f"the backbone has no {part}, which the LoRA adapts: it is for another architecture")
        if getattr(model, "peft_config", None):
            raise LoraError("the pipeline has a LoRA already: load the backbone anew")
        factor = strength if part == "unet" or text_strength is None else text_strength
        fused += [(_weight(model, name, module), module, factor) for name, module in modules.items()]
    for weight, module, factor in fused:
        weight.copy_(module.applied_to(weight, factor))


def _weight(model: torch.nn.Module, name: str, module: LoraModule) -> Any:
    inside = name.partition(".")[2]
    if not hasattr(model, "text_model"):
        inside = inside.removeprefix("text_model.")
    try:
        weight: Any = model.get_submodule(inside).weight
    except AttributeError as error:
        raise LoraError(f"the backbone has no layer {name}: the LoRA is for another architecture") from error
    size = (module.up.shape[0], module.down[0].numel())
    if size != tuple(weight.flatten(1).shape):
        there = " x ".join(map(str, weight.flatten(1).shape))
        raise LoraError(
            f"{name} is {there} in the backbone and {size[0]} x {size[1]} in the LoRA: another architecture"
        )
    return weight
