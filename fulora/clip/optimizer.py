"""The optimizer and the update of a CLIP, in pre-training and in tuning."""

import math

import torch
from jaxtyping import Float
from torch import Tensor

from fulora.clip.model import ClipModel
from fulora.training.parameter_groups import weight_decay_groups

MAX_LOG_SCALE = math.log(100)
"""The upper bound of CLIP's `logit_scale`."""


def adamw(model: ClipModel, learning_rate: float, weight_decay: float) -> torch.optim.AdamW:
    """Return AdamW on the trainable parameters; embeddings do not decay: a token without a caption keeps its own."""
    groups = weight_decay_groups(model, learning_rate, weight_decay, exempt="embedding")
    return torch.optim.AdamW(groups, lr=learning_rate, betas=(0.9, 0.98))


def update(model: ClipModel, optimizer: torch.optim.Optimizer, loss: Float[Tensor, ""]) -> Float[Tensor, ""]:
    """Do one update with gradients clipped to norm 1 and a bounded `logit_scale`. Returns the loss."""
    optimizer.zero_grad(set_to_none=True)
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_([p for p in model.parameters() if p.requires_grad], 1.0)
    optimizer.step()
    with torch.no_grad():
        model.logit_scale.clamp_(0, MAX_LOG_SCALE)
    return loss.detach()
