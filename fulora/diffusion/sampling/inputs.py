"""The inputs of a generated set, by path and digest: backbone, LoRAs, images to start from, ControlNet with masks."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import torch
from jaxtyping import UInt8

from fulora.config import digest
from fulora.data.column_types import Plane
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import Provenance, provenance_of
from fulora.diffusion.config import Architecture
from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.peft_folder import lora_files
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.loading import BackboneError, download_backbone, load_backbone, native_size_of_file
from fulora.diffusion.models.native_size import NativeSize, read_native_size
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed, RecipeError
from fulora.integrity import check, content_digest
from fulora.stage import RECORD, read_record


@dataclass(frozen=True)
class LoraSource:
    """A LoRA file and its strengths."""

    path: Path
    used: LoraUsed


@dataclass(frozen=True)
class ControlSource:
    """A ControlNet in diffusers' layout, and its masks: image i of a class is generated on the i-th of the class."""

    path: Path
    used: ControlUsed
    masks: Mapping[Plane, UInt8[np.ndarray, "n h w"]] = field(repr=False, compare=False)

    def mask_of(self, plane: Plane, index: int) -> UInt8[np.ndarray, "h w"]:
        """Return the mask of image `index` of a class."""
        mask: UInt8[np.ndarray, "h w"] = self.masks[plane][index]
        return mask

    def masks_digest(self) -> str:
        """Return the digest of all masks."""
        return digest([[plane, [pixel_digest(mask) for mask in masks]] for plane, masks in self.masks.items()])


@dataclass(frozen=True)
class GenerationInputs:
    """The inputs of a set. It holds paths, not weights, so that it is small when it is sent to other processes.

    Attributes:
        backbone: a folder, a checkpoint file or a hub id.
        revision, architecture: of a hub id, and of a checkpoint file from which it cannot be detected.
        start: an image set whose training images of a class are started from, in turn (image-to-image).
        control: a ControlNet, with a mask for each image.
    """

    backbone: Path | str
    used: BackboneUsed
    revision: str | None = None
    architecture: Architecture | None = None
    loras: tuple[LoraSource, ...] = ()
    start: Path | None = None
    control: ControlSource | None = None

    def load(self, unet_dtype: torch.dtype = torch.float32) -> Pipeline:
        """Load the backbone with its LoRAs fused, in fp32 on the CPU.

        Args:
            unet_dtype: load the UNet in another precision, unless LoRAs are fused, which is done in fp32.

        Raises:
            BackboneError, LoraError: if one of them cannot be loaded, or they do not fit together.
        """
        pipe = load_backbone(
            self.backbone,
            revision=self.revision,
            architecture=self.architecture,
            unet_dtype=torch.float32 if self.loras else unet_dtype,
        )
        for lora in self.loras:
            used = lora.used
            load_lora(pipe, lora.path, used.strength, used.text_strength, any_base=used.any_base)
        return pipe

    def provenance(self) -> Provenance:
        """Read the provenance of all weights from the files beside them.

        Raises:
            DamagedFileError, EarlierVersionError: if such a file is damaged, or of an earlier version of fulora.
        """
        weights = [provenance_of(lora.path, f"LoRA {lora.used.name}") for lora in self.loras]
        if self.control is not None:
            weights.append(provenance_of(self.control.path, f"ControlNet {self.control.used.name}"))
        return Provenance().joined(*weights, backbone_provenance(self.backbone, self.used.name))

    def native_size(self) -> int:
        """Return the side of the square images that the backbone was made for, px.

        Raises:
            BackboneError: if the configs in the backbone's folder do not state it.
        """
        native = self._native_size()
        if native is None or native.side_px is None:
            raise BackboneError(
                f"{self.backbone}: its unet/config.json (sample_size: a number) and vae/config.json "
                "(block_out_channels: a list) do not say for which size it was made: give --size"
            )
        return native.side_px

    def _native_size(self) -> NativeSize | None:
        if isinstance(self.backbone, Path) and self.backbone.is_file():
            return native_size_of_file(self.backbone, self.architecture)
        local = isinstance(self.backbone, Path) and self.backbone.is_dir()
        return read_native_size(Path(self.backbone) if local else download_backbone(self.backbone, self.revision))

    def fingerprint(self) -> str:
        """Return the fingerprint of the weights: `backbone+lora@strength+control:controlnet`."""
        loras = (
            f"+{lora.used.digest}@{lora.used.strength:g}"
            + ("" if lora.used.text_strength == lora.used.strength else f"/{lora.used.text_strength:g}")
            for lora in self.loras
        )
        control = f"+control:{self.control.used.digest}" if self.control else ""
        return self.used.digest + "".join(loras) + control


def lora_source(
    path: Path, strength: float, text_strength: float | None = None, *, any_base: bool = False
) -> LoraSource:
    """Return a LoRA file with its digest, which for peft includes the file of settings.

    Args:
        any_base: use it even if its file is for another prediction type or family.

    Raises:
        FileNotFoundError: if the file is missing.
        DamagedArtifactError: if a file of its folder has changed since it was written.
    """
    check(path)
    content = hashlib.sha256()
    for part in lora_files(path):
        content.update(part.read_bytes())
    used = LoraUsed(
        name=path.name,
        digest=content.hexdigest()[:16],
        strength=strength,
        text_strength=strength if text_strength is None else text_strength,
        any_base=any_base,
    )
    return LoraSource(path, used)


def weights_digest(source: Path | str, revision: str | None = None, *, cache: Path | None = None) -> str:
    """Return the fingerprint of weights that a stage made, or the digest of the content of others.

    Args:
        source, revision: a path, or a hub id, which is downloaded if it is not cached.
        cache: a file of known digests.

    Raises:
        BackboneError: if a hub id cannot be downloaded.
        DamagedArtifactError: if a file of an artifact has changed since it was made.
    """
    path = check(source if isinstance(source, Path) else download_backbone(source, revision))
    if (path / RECORD).is_file():
        return str(read_record(path)["fingerprint"])
    return content_digest(path, cache)[:16]


def backbone_provenance(source: Path | str, name: str) -> Provenance:
    """Return the provenance of a backbone, by `provenance_of`; that of a hub id is unknown."""
    title = f"backbone {name}"
    return provenance_of(source, title) if isinstance(source, Path) else Provenance.unknown(title)


def start_rows(folder: Path, cfg: SamplingConfig) -> dict[Plane, list[Image]]:
    """Return the training images of each class to start from, by id.

    Raises:
        RecipeError: if a class has none.
    """
    rows = sorted(ImageSet(folder, "").iter_rows("train"), key=lambda row: row.image_id)
    by_plane = {plane: [row for row in rows if row.plane == plane] for plane in cfg.planes}
    empty = [plane for plane, rows in by_plane.items() if not rows]
    if empty:
        raise RecipeError(f"{folder}: has no training image of {', '.join(empty)} to start from; leave that plane out")
    return by_plane
