"""The training loss of segmentation networks, and the Dice that selects checkpoints."""

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
    """Return the cross-entropy plus soft Dice loss (Milletari 2016), each averaged over images.

    The Dice loss of an image is 1 - (2 sum(p t) + 1) / (sum(p) + sum(t) + 1), averaged over structures.

    Args:
        logits: of one class (binary cross-entropy), or of background and structures (cross-entropy).
        masks: class numbers, 0 background.
        weights: of the images; by default equal.
        kind: `ce` omits the Dice loss.
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
    """Return the Dice of probabilities, with 1 added to numerator and denominator, averaged over structures."""
    common = (shares * truth).sum(dim=(2, 3))
    return ((2 * common + 1) / (shares.sum(dim=(2, 3)) + truth.sum(dim=(2, 3)) + 1)).mean(dim=1)


def mean_dice(predicted: Shaped[Tensor, "n h w"], truth: Shaped[Tensor, "n h w"], structures: int) -> float:
    """Return the mean of the Dice of each image and structure; if both masks are empty it is 1."""
    dice = []
    for label in range(1, structures + 1):
        a, b = predicted == label, truth == label
        both, sizes = (a & b).sum(dim=(1, 2)).double(), (a.sum(dim=(1, 2)) + b.sum(dim=(1, 2))).double()
        dice.append(torch.where(sizes > 0, 2 * both / sizes.clamp(min=1), 1.0))
    return float(torch.stack(dice).mean())
