"""Masks from a U-Net, and the plain facts that a mask of one structure obeys."""

import numpy as np
import torch
from jaxtyping import UInt8
from scipy import ndimage

from fulora.progress import track
from fulora.segmentation.loss import to_labels
from fulora.segmentation.model import Unet


@torch.no_grad()
def predict(
    model: Unet, images: UInt8[np.ndarray, "n h w"], batch_size: int, *, clean: bool = True
) -> UInt8[np.ndarray, "n h w"]:
    """Masks of class numbers, 0 background.

    Args:
        images: gray, 0 to 255; height and width are multiples of 32.
        clean: keep the largest piece of each structure and fill its holes.
    """
    model.eval()
    device = next(model.parameters()).device
    masks = np.zeros(images.shape, np.uint8)
    for start in track(range(0, len(images), batch_size), "segment"):
        batch = torch.tensor(images[start : start + batch_size], device=device)
        masks[start : start + batch_size] = to_labels(model(batch)).to(torch.uint8).cpu().numpy()
    return np.stack([largest_filled(mask) for mask in masks]) if clean and len(masks) else masks


def largest_filled(mask: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w"]:
    """Keep the largest 8-connected piece of each class, and fill its holes with the class where they are background."""
    kept = np.zeros_like(mask)
    for label in range(1, int(mask.max(initial=0)) + 1):
        pieces, count = ndimage.label(mask == label, structure=np.ones((3, 3)))
        if count:
            kept[pieces == 1 + np.bincount(pieces.ravel())[1:].argmax()] = label
    for label in range(1, int(mask.max(initial=0)) + 1):
        kept[ndimage.binary_fill_holes(kept == label) & (kept == 0)] = label
    return kept
