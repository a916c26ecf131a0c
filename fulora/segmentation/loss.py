"""What a network is trained by, and what its checkpoint is chosen by."""

from typing import Literal

import torch
from jaxtyping import Float, Int, Shaped
from torch import Tensor
from torch.nn import functional


def segmentation_loss(
    logits: Float[Tensor, "b c h w"],
    masks: Int[Tensor, "b h w"],
    weights: Float[Tensor, "b"] | None = None,
    kind: Literal["dice_ce", "ce"] = "dice_ce",
) -> Float[Tensor, ""]:
    """Cross-entropy plus soft Dice loss (Milletari 2016), each the mean over images.

    The Dice loss of an image is 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), the mean over the structures.

    Args:
        logits: one class (binary cross-entropy) or background and structures (cross-entropy).
        masks: class numbers, 0 background.
        weights: of the images; all alike without.
        kind: `ce` leaves the Dice loss out.
    """
    if logits.shape[1] == 1:
        truth = masks[:, None].to(logits.dtype)
        entropy = functional.binary_cross_entropy_with_logits(logits, truth, reduction="none").mean(dim=(1, 2, 3))
        shares = logits.sigmoid()
    else:
        truth = functional.one_hot(masks, logits.shape[1]).movedim(-1, 1)[:, 1:].to(logits.dtype)
        entropy = functional.cross_entropy(logits, masks, reduction="none").mean(dim=(1, 2))
        shares = logits.softmax(dim=1)[:, 1:]
    loss = entropy if kind == "ce" else entropy + 1 - soft_dice(shares, truth)
    return loss.mean() if weights is None else (loss * weights).sum() / weights.sum()


def soft_dice(shares: Float[Tensor, "b s h w"], truth: Float[Tensor, "b s h w"]) -> Float[Tensor, "b"]:
    """Dice of probabilities with 1 added above and below, the mean over the structures."""
    common = (shares * truth).sum(dim=(2, 3))
    return ((2 * common + 1) / (shares.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)).mean(dim=1)


def mean_dice(predicted: Shaped[Tensor, "n h w"], truth: Shaped[Tensor, "n h w"], structures: int) -> float:
    """Dice of each image and structure, then the mean: pooling would hide bad images. Empty on both sides is 1."""
    found = []
    for label in range(1, structures + 1):
        a, b = predicted == label, truth == label
        both, sizes = (a & b).sum(dim=(1, 2)).double(), (a.sum(dim=(1, 2)) + b.sum(dim=(1, 2))).double()
        found.append(torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0))
    return float(torch.stack(found).mean())
