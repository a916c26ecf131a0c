"""Deep supervision: predictions from coarser decoder blocks, used only by the training loss."""

from functools import partial

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

from fulora.environment import derive_seed
from fulora.segmentation.config import UnetConfig
from fulora.segmentation.strategies import parts

BLOCKS = ("d3", "d2", "d1")
"""Half, a quarter and an eighth of the resolution; each has half the weight of the finer one (Isensee et al. 2021)."""


class SideOutputs(nn.Module):
    """A 1x1 convolution on each of three decoder blocks of a U-Net; `features` are the blocks' last outputs."""

    def __init__(self, cfg: UnetConfig, net: nn.Module) -> None:
        super().__init__()
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(derive_seed("unet", cfg.seed, "side outputs"))
            self.heads = nn.ModuleList(nn.LazyConv2d(cfg.outputs, 1) for _ in BLOCKS)
            for head, name in zip(self.heads, BLOCKS, strict=True):
                head(torch.zeros(1, cfg.decoder_channels[int(name[1])], 1, 1))
        self.features: dict[int, Tensor] = {}
        for number, name in enumerate(BLOCKS):
            parts(net)[name].register_forward_hook(partial(_keep, self.features, number))

    def logits(self, height: int, width: int) -> list[tuple[float, Float[Tensor, "b classes height width"]]]:
        """Return weight and logits of each head, at the resolution of the image."""
        outputs = []
        for number, head in enumerate(self.heads):
            coarse = head(self.features[number])
            fine = functional.interpolate(coarse, scale_factor=2 ** (number + 1), mode="bilinear", align_corners=False)
            outputs.append((0.5 ** (number + 1), fine[..., :height, :width]))
        return outputs


def _keep(kept: dict[int, Tensor], number: int, module: nn.Module, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    kept[number] = output
