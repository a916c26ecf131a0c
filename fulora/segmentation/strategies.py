"""Fine-tuning strategies: which parts of a network are trained, and batch norm of the frozen parts."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import segmentation_models_pytorch as smp
import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn.modules.batchnorm import _BatchNorm

from fulora.environment import derive_seed
from fulora.segmentation.config import DECODER, STRATEGIES, Strategy, UnetConfig

THIRDS = 3


def parts(net: nn.Module) -> dict[str, nn.Module]:
    """Return the parts of a network by name.

    A U-Net has `encoder`, `d0` (deepest) to `d4` and `head`; other networks of segmentation_models_pytorch have
    `encoder`, `decoder` and `head`, those of MONAI `all`.
    """
    children = dict(net.named_children())
    if "encoder" not in children or "segmentation_head" not in children:
        return {"all": net}
    decoder: dict[str, nn.Module] = {"decoder": children["decoder"]}
    if isinstance(net, smp.Unet):
        decoder = dict(zip(DECODER, net.get_submodule("decoder.blocks").children(), strict=True))
    return {"encoder": children["encoder"], **decoder, "head": children["segmentation_head"]}


@dataclass(frozen=True)
class ParameterGroup:
    """Parameters with a common learning rate and start of training.

    Attributes:
        rate: factor on the learning rate.
        joins_at: the fraction of the training after which they are trained.
    """

    parameters: list[nn.Parameter]
    rate: float = 1.0
    joins_at: float = 0.0


def apply_strategy(net: nn.Module, cfg: UnetConfig) -> list[ParameterGroup]:
    """Freeze all parts that the strategy does not train; for `lora`, add the low-rank adapters.

    Returns:
        The trained parameters, those of the encoder first.
    """
    strategy, members = STRATEGIES[cfg.strategy], parts(net)
    net.requires_grad_(False)
    if "all" in members:
        net.requires_grad_(True)
        return [ParameterGroup(list(net.parameters()))]
    encoder = _encoder_groups(members["encoder"], strategy, cfg) if "encoder" in strategy.learns else []
    learns = {*strategy.learns, *(["decoder"] if set(DECODER) <= set(strategy.learns) else [])}
    learns |= {"head"} if cfg.train_head else set()
    rest = [p for name, part in members.items() if name != "encoder" and name in learns for p in part.parameters()]
    groups = [group for group in (*encoder, ParameterGroup(rest)) if group.parameters]
    for parameter in trainable_parameters(groups):
        parameter.requires_grad_(True)
    return groups


def trainable_parameters(groups: list[ParameterGroup]) -> list[nn.Parameter]:
    """Return all parameters that are trained at some time."""
    return [parameter for group in groups for parameter in group.parameters]


def _encoder_groups(encoder: nn.Module, strategy: Strategy, cfg: UnetConfig) -> list[ParameterGroup]:
    if strategy.lora:
        add_adapters(encoder, cfg)
        return [ParameterGroup([p for name, p in encoder.named_parameters() if "lora_" in name])]
    if strategy.norms_only:
        return [ParameterGroup([p for module in encoder.modules() if is_norm(module) for p in module.parameters()])]
    if len({*strategy.rates, *strategy.joins_at}) == 2 and strategy.rates[0] == 1.0 and strategy.joins_at[0] == 0.0:
        return [ParameterGroup(list(encoder.parameters()))]
    layers = [list(module.parameters(recurse=False)) for module in encoder.modules()]
    layers = [layer for layer in layers if layer]
    borders = [len(layers) * third // THIRDS for third in range(THIRDS + 1)]
    thirds = [layers[first:last] for first, last in pairwise(borders)]
    return [
        ParameterGroup([p for layer in third for p in layer], rate, joins_at)
        for third, rate, joins_at in zip(thirds, strategy.rates, strategy.joins_at, strict=True)
    ]


def is_norm(module: nn.Module) -> bool:
    """Return whether a module is a normalisation layer."""
    return isinstance(module, _BatchNorm | nn.LayerNorm | nn.GroupNorm)


def add_adapters(encoder: nn.Module, cfg: UnetConfig) -> None:
    """Add peft's low-rank adapters to the encoder's convolutions and linear layers.

    Depthwise convolutions get none, nor do convolutions whose input a hook pads, which does not affect an adapter.
    """
    from peft import LoraConfig, inject_adapter_in_model  # imported only if needed, as it takes seconds

    names = [
        name
        for name, module in encoder.named_modules()
        if isinstance(module, nn.Linear)
        or (isinstance(module, nn.Conv2d) and module.groups == 1 and not module._forward_pre_hooks)
    ]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("unet", cfg.seed, "adapters"))
        config = LoraConfig(r=cfg.lora_rank, lora_alpha=cfg.lora_rank, target_modules=names, init_lora_weights=True)
        inject_adapter_in_model(config, encoder)


def merge_adapters(net: nn.Module) -> None:
    """Merge the adapters into the weights of their layers, and remove them."""
    from peft.tuners.lora import LoraLayer

    for name, module in list(net.named_modules()):
        if isinstance(module, LoraLayer):
            module.merge()
            parent, _, own = name.rpartition(".")
            setattr(net.get_submodule(parent), own, module.get_base_layer())


def unfreeze_joined(groups: list[ParameterGroup], progress: float) -> None:
    """Unfreeze the groups whose start has been reached, and freeze the others.

    Args:
        progress: the completed fraction of the training, 0 to 1.
    """
    for group in groups:
        for parameter in group.parameters:
            parameter.requires_grad_(progress >= group.joins_at)


def set_frozen_to_eval(net: nn.Module) -> None:
    """Set frozen parts to evaluation mode; call it after each `train()`.

    `requires_grad=False` alone does not freeze a part: the running statistics of its batch norms would still change
    (by 0.05 in one batch), as they do in the papers' code.
    """
    for module in (*parts(net).values(), *(module for module in net.modules() if is_norm(module))):
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


@torch.no_grad()
def initialise_batch_norm(net: nn.Module, inputs: Float[Tensor, "b c h w"], *, encoder: bool) -> None:
    """Set the running statistics of randomly initialised batch norms to those of `inputs`, once, before training.

    With the initial statistics (mean 0, variance 1), the signal of a random MobileNetV2 in evaluation mode vanishes
    layer by layer, so that a frozen random encoder would give the decoder no information.

    Args:
        inputs: normalised training images.
        encoder: also set those of the encoder, as it has random weights.
    """
    net.train()
    if not encoder:
        net.get_submodule("encoder").eval()
    norms = [module for module in net.modules() if isinstance(module, _BatchNorm) and module.training]
    momenta: list[Any] = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    net(inputs)
    for norm, momentum in zip(norms, momenta, strict=True):
        norm.momentum = momentum
