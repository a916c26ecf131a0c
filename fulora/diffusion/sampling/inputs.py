"""What a set is drawn with: a backbone, LoRAs, images to start from. Where they are, and by digest what they are."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8

from fulora.config import digest
from fulora.data.image import Image
from fulora.data.image_set import ImageSet
from fulora.data.labels import Plane
from fulora.data.pictures.pixels import pixel_digest
from fulora.data.provenance import Provenance, provenance_of
from fulora.diffusion.config import Architecture
from fulora.diffusion.lora.files import load_lora
from fulora.diffusion.lora.peft_folder import lora_files
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.loading import BackboneError, download_backbone, load_backbone
from fulora.diffusion.sampling.config import SamplingConfig
from fulora.diffusion.sampling.recipe import BackboneUsed, ControlUsed, LoraUsed, RecipeError
from fulora.integrity import check, content_digest
from fulora.json_files import read_json
from fulora.stage import RECORD, read_record


@dataclass(frozen=True)
class LoraSource:
    """A LoRA file, and how strongly it is put in."""

    path: Path
    used: LoraUsed


@dataclass(frozen=True)
class ControlSource:
    """A ControlNet in diffusers' layout, and the masks that it is told: image i of a plane is drawn on the i-th."""

    path: Path
    used: ControlUsed
    masks: Mapping[Plane, UInt8[np.ndarray, "n h w"]] = field(repr=False, compare=False)

    def mask_of(self, plane: Plane, index: int) -> UInt8[np.ndarray, "h w"]:
        """The mask of a picture."""
        mask: UInt8[np.ndarray, "h w"] = self.masks[plane][index]
        return mask

    def masks_digest(self) -> str:
        """Of all masks."""
        return digest([[plane, [pixel_digest(mask) for mask in masks]] for plane, masks in self.masks.items()])


@dataclass(frozen=True)
class GenerationInputs:
    """What a set is drawn with. Small, so that it travels to other processes; weights are read where they are used.

    Attributes:
        backbone: a folder, a checkpoint file or a hub id.
        revision, architecture: of a hub id, and of a checkpoint file that does not tell.
        start: an image set whose training images of a plane are drawn over, in turn (image-to-image).
        control: a ControlNet, with a mask for each picture.
    """

    backbone: Path | str
    used: BackboneUsed
    revision: str | None = None
    architecture: Architecture | None = None
    loras: tuple[LoraSource, ...] = ()
    start: Path | None = None
    control: ControlSource | None = None

    def load(self) -> Pipeline:
        """The backbone with its LoRAs fused, in fp32 on the CPU.

        Raises:
            BackboneError, LoraError: one of them cannot be had, or they do not fit together.
        """
        pipe = load_backbone(self.backbone, revision=self.revision, architecture=self.architecture)
        for lora in self.loras:
            used = lora.used
            load_lora(pipe, lora.path, used.strength, used.text_strength, any_base=used.any_base)
        return pipe

    def provenance(self) -> Provenance:
        """Whom the backbone, the LoRAs and the ControlNet learned from, as far as files beside them tell.

        Raises:
            DamagedFileError, EarlierVersionError: such a file is damaged, or an earlier version made what it is of.
        """
        loras = [provenance_of(lora.path, f"LoRA {lora.used.name}") for lora in self.loras]
        control = (
            [] if self.control is None else [provenance_of(self.control.path, f"ControlNet {self.control.used.name}")]
        )
        return Provenance().joined(*loras, *control, backbone_provenance(self.backbone, self.used.name))

    def native_size(self) -> int:
        """The side of the square pictures that the backbone was made for, px.

        Raises:
            BackboneError: a folder whose configs do not say it.
        """
        if isinstance(self.backbone, Path) and self.backbone.is_dir():
            read = {part: read_json(self.backbone / part / "config.json", dict[str, Any]) for part in ("unet", "vae")}
            side, widths = read["unet"].get("sample_size"), read["vae"].get("block_out_channels")
            if not isinstance(side, int) or not isinstance(widths, list):
                raise BackboneError(
                    f"{self.backbone}: its unet/config.json (sample_size: {side!r}) and vae/config.json "
                    f"(block_out_channels: {widths!r}) do not say for which size it was made: give --size"
                )
            return int(side * 2 ** (len(widths) - 1))
        pipe = self.load()
        return int(pipe.unet.config.sample_size * pipe.vae_scale_factor)

    def generator(self) -> str:
        """The fingerprint of the weights: `backbone+lora@strength+control:controlnet`."""
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
    """A LoRA file, with its digest; of peft, whose settings are in a file of their own, that of both.

    Args:
        any_base: use it also where its file says that it is for another prediction type or family.

    Raises:
        FileNotFoundError: it is not there.
        DamagedArtifactError: it, or what stands beside it, is not as it was made.
    """
    check(path)
    whole = hashlib.sha256()
    for part in lora_files(path):
        whole.update(part.read_bytes())
    used = LoraUsed(
        name=path.name,
        digest=whole.hexdigest()[:16],
        strength=strength,
        text_strength=strength if text_strength is None else text_strength,
        any_base=any_base,
    )
    return LoraSource(path, used)


def weights_digest(source: Path | str, revision: str | None = None, *, cache: Path | None = None) -> str:
    """What a backbone is known by: the fingerprint of a stage's artifact, else the digest of its content.

    Args:
        source, revision: a path, or a hub id, which is downloaded unless it is there.
        cache: a file to keep digests in.

    Raises:
        BackboneError: a hub id that cannot be had.
        DamagedArtifactError: an artifact that is not as it was made.
    """
    path = check(source if isinstance(source, Path) else download_backbone(source, revision))
    if (path / RECORD).is_file():
        return str(read_record(path)["fingerprint"])
    return content_digest(path, cache)[:16]


def backbone_provenance(source: Path | str, name: str) -> Provenance:
    """Whom a backbone learned from: a folder, a checkpoint file or a hub id, of which that is not known.

    Raises:
        DamagedFileError, EarlierVersionError: as `provenance_of`.
    """
    called = f"backbone {name}"
    return provenance_of(source, called) if isinstance(source, Path) else Provenance.unknown(called)


def start_rows(folder: Path, cfg: SamplingConfig) -> dict[Plane, list[Image]]:
    """The training images of each plane that pictures are drawn over, by id.

    Raises:
        RecipeError: a plane has none.
    """
    rows = sorted(ImageSet(folder, "").iter_rows("train"), key=lambda row: row.image_id)
    found = {plane: [row for row in rows if row.plane == plane] for plane in cfg.planes}
    empty = [plane for plane, there in found.items() if not there]
    if empty:
        raise RecipeError(f"{folder}: has no training image of {', '.join(empty)} to start from; leave that plane out")
    return found
