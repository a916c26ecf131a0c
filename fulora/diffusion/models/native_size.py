"""The image sizes that a backbone was made for, from the configs of its networks."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from fulora.diffusion.config import Architecture
    from fulora.diffusion.models.architectures import Pipeline


class NativeSize(NamedTuple):
    """The image sizes that a backbone was made for.

    Attributes:
        side_px: of the square images it was trained on; None if unknown.
        latent_px: sides of generated images are multiples of it.
        halved_px: sides of images that a LoRA is trained on are multiples of it.
    """

    side_px: int | None
    latent_px: int
    halved_px: int


def native_size_of(pipe: "Pipeline") -> NativeSize:
    """Return the native size of a loaded backbone."""
    return _native_size(pipe.unet.config, int(pipe.vae_scale_factor))


def native_size_of_architecture(architecture: "Architecture", *, small: bool) -> NativeSize:
    """Return the native size of a published architecture, or of its tiny version."""
    from fulora.diffusion.models.architectures import SMALL_UNETS, UNETS

    return _native_size(UNETS[architecture] | (SMALL_UNETS[architecture] if small else {}), 8)


def read_native_size(folder: Path) -> NativeSize | None:
    """Return the native size of the backbone in a diffusers folder; None if its configs do not state it."""
    try:
        unet, vae = (json.loads((folder / part / "config.json").read_text("utf-8")) for part in ("unet", "vae"))
        return _native_size(unet, 2 ** (len(vae["block_out_channels"]) - 1))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def _native_size(unet: Any, latent_px: int) -> NativeSize:
    side = unet["sample_size"]
    halved_px = latent_px * 2 ** (len(unet["block_out_channels"]) - 1)
    return NativeSize(side * latent_px if isinstance(side, int) else None, latent_px, halved_px)


def describe_other_size(size: tuple[int, int], native: NativeSize) -> str:
    """Warn of a width and height that a backbone was not made for; "" for its native size."""
    if native.side_px is None or size == (native.side_px, native.side_px):
        return ""
    return (
        f"{size[0]}x{size[1]} px, and the backbone was made for {native.side_px}x{native.side_px} px: its images may "
        "be distorted at other sizes"
    )
