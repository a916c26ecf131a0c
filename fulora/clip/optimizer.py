"""How the weights of a CLIP learn, in pre-training and in tuning."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fulora.clip.model import ClipModel

MAX_LOG_SCALE = math.log(100)
"""As CLIP bounds its own."""


def adamw(model: ClipModel, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """AdamW on what learns; decay on matrices and filters only: a token that no caption holds keeps its embedding."""
    learning = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    decay = [p for name, p in learning if p.ndim > 1 and "embedding" not in name]
    rest = [p for name, p in learning if not (p.ndim > 1 and "embedding" not in name)]
    pairs = ((decay, weight_decay), (rest, 0.0))
    groups = [{"params": p, "weight_decay": amount, "base_lr": learning_rate} for p, amount in pairs if p]
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


def update(model: ClipModel, optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """One update, gradients clipped to norm 1, the scale bounded as CLIP's. Returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOG_SCALE)
    return loss.detach()
