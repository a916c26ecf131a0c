"""Strategies applied: which parts of a U-Net learn, and batch norm that stays put where they do not."""

import torch
from jaxtyping import Float
from torch import Tensor, nn

from fulora.segmentation.config import STRATEGIES, StrategyName


def parts(net: nn.Module) -> dict[str, nn.Module]:
    """The parts of a segmentation_models_pytorch U-Net: `encoder`, `d0` (deepest) to `d4`, `head`."""
    blocks = {f"d{i}": block for i, block in enumerate(net.get_submodule("decoder.blocks").children())}
    return {"encoder": net.get_submodule("encoder"), **blocks, "head": net.get_submodule("segmentation_head")}


def apply_strategy(net: nn.Module, name: StrategyName, train_head: bool) -> list[nn.Parameter]:
    """Let the strategy's parts learn and freeze all others.

    Args:
        net: a segmentation_models_pytorch U-Net.
        name: the strategy.
        train_head: whether the segmentation head learns too.

    Returns:
        The parameters that learn, in the order of the network.
    """
    learning = {*STRATEGIES[name].learns, *(["head"] if train_head else [])}
    for part, module in parts(net).items():
        module.requires_grad_(part in learning)
    return [parameter for parameter in net.parameters() if parameter.requires_grad]


def frozen_to_eval(net: nn.Module) -> None:
    """Put every part that does not learn in evaluation mode; call it after each `train()`.

    `requires_grad=False` alone does not freeze a part: the running statistics of its batch norms would still follow
    the training images (measured: 0.05 in one batch), as they do in the papers' code.
    """
    for module in parts(net).values():
        if not any(parameter.requires_grad for parameter in module.parameters()):
            module.eval()


@torch.no_grad()
def settle_batch_norm(net: nn.Module, inputs: Float[Tensor, "b 3 h w"], *, encoder: bool) -> None:
    """Set the running statistics of randomly started batch norms to those of `inputs`, once, before training.

    A random MobileNetV2 in evaluation mode shrinks its signal at every layer until nothing is left, so that a random
    encoder frozen with the initial statistics (mean 0, variance 1) would tell the decoder nothing.

    Args:
        net: a segmentation_models_pytorch U-Net.
        inputs: normalised training images.
        encoder: whether the encoder too started from random weights; else its statistics stay as they are.
    """
    net.train()
    if not encoder:
        net.get_submodule("encoder").eval()
    norms = [module for module in net.modules() if isinstance(module, nn.BatchNorm2d) and module.training]
    usual = [norm.momentum for norm in norms]
    for norm in norms:
        norm.momentum = 1.0
    net(inputs)
    for norm, momentum in zip(norms, usual, strict=True):
        norm.momentum = momentum
