"""Deep supervision: predictions from coarser decoder blocks, which only the loss of training sees."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from fulora.environment import derive_seed
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.strategies import parts

BLOCKS = ("d3", "d2", "d1")
"""Half, a quarter and an eighth of the resolution; each weighs half as much as the finer one (Isensee et al. 2021)."""


class SideOutputs(nn.Module):
    """A 1x1 convolution on each of three decoder blocks of a U-Net; `found` holds their logits after a forward pass."""

    def __init__(self, cfg: UnetConfig, net: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("unet", cfg.seed, "side outputs"))
            self.heads = nn.ModuleList(nn.LazyConv2d(cfg.outputs, 1) for _ in BLOCKS)
            for head, name in zip(self.heads, BLOCKS, strict=True):
                head(torch.zeros(1, cfg.decoder_channels[int(name[1])], 1, 1))
        self.found: dict[int, Tensor] = {}
        for number, name in enumerate(BLOCKS):
            parts(net)[name].register_forward_hook(partial(_keep, self.found, number))

    def logits(self, height: int, width: int) -> list[tuple[float, Float[Tensor, "b classes height width"]]]:
        """Weight and logits of each, at the resolution of the image."""
        made = []
        for number, head in enumerate(self.heads):
            coarse = head(self.found[number])
            fine = functional.interpolate(coarse, scale_factor=2 ** (number + 1), mode="bilinear", align_corners=False)
            made.append((0.5 ** (number + 1), fine[..., :height, :width]))
        return made


def _keep(found: dict[int, Tensor], number: int, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    found[number] = output
