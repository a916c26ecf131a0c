"""Masks predicted for a folder of images by one or several trained networks."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image as Pil

from fulora.data.image_identities import identify_files
from fulora.data.label_set import read_label_set
from fulora.data.leak_check import describe_unknown, refuse_leaked_identities
from fulora.data.provenance import Provenance, provenance_of
from fulora.data.structures import refuse_other_structures, structures_of
from fulora.intake.formats.gray_picture import read_picture
from fulora.intake.masks.file_names import find_pictures_and_masks
from fulora.intake.picture_files import PICTURES
from fulora.progress import note
from fulora.segmentation.challenge_protocols import Mask
from fulora.segmentation.config import SegmentConfig
from fulora.segmentation.model import load_unet
from fulora.segmentation.predict import predict
from fulora.training.devices import pick_device
from fulora.training.inference import decoded_ahead

ENDINGS = (*PICTURES, ".mha")
EXAMPLES = 5
"""Images that are shown with their masks."""


@dataclass(frozen=True)
class SegmentedFolder:
    """The masks of a folder of images.

    Attributes:
        masks: how many.
        empty: how many contain background only.
        structures: the name of each class number.
        examples: some images, evenly spaced, with their masks, by name.
    """

    masks: int
    empty: int
    structures: Mapping[int, str]
    examples: Mapping[str, tuple[Mask, Mask]]


def segment_folder(
    images: Path, unets: Sequence[Path], out: Path, config: SegmentConfig, *, device: str = "auto"
) -> SegmentedFolder:
    """Segment images of any size with one network, or with the mean of several, and write masks of the images' sizes.

    The label set is written beside the masks, and the provenance of the networks.

    Args:
        images: folder of images, in any subfolders; files named as masks are skipped.
        unets: folders of trained networks.
        out: new folder for the masks, NAME.png with class numbers.

    Raises:
        ValueError: if `out` is not empty, there are no images, or two would have the same mask.
        OverlapError: if a network, or a model that it is based on, was trained on an image or its patient.
        StructureError: if the networks predict different structures.
    """
    files = _files(images)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: is not empty; give a new folder for the masks")
    provenance = _refuse_leaks(images, files, unets)
    models = [load_unet(folder).to(pick_device(device)) for folder in unets]
    label_sets = [read_label_set(folder) for folder in unets]
    for folder, labels in zip(unets, label_sets, strict=True):
        refuse_other_structures(label_sets[0], labels, name=f"--unet {unets[0]}", other_name=f"--unet {folder}")
    pictures = decoded_ahead(read_picture, list(files.values()), config.batch_size)
    masks = predict(models, pictures, config, total=len(files))
    out.mkdir(parents=True, exist_ok=True)
    provenance.write(out)
    empty, examples = 0, {}
    chosen = set(np.linspace(0, len(files) - 1, min(EXAMPLES, len(files))).astype(int).tolist())
    for number, (name, mask) in enumerate(zip(files, masks, strict=True)):
        target = out / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(mask).save(target)
        empty += not mask.any()
        if number in chosen:
            examples[name] = (read_picture(files[name]), mask)
    label_sets[0].write(out)
    return SegmentedFolder(len(files), empty, structures_of(label_sets[0]), examples)


def _refuse_leaks(folder: Path, files: Mapping[str, Path], unets: Sequence[Path]) -> Provenance:
    models = [provenance_of(unet, f"U-Net {unet.name}") for unet in unets]
    for line in describe_unknown(refuse_leaked_identities(models, identify_files(folder, files, read_picture))):
        note(line)
    return Provenance().joined(*models)


def _files(folder: Path) -> dict[str, Path]:
    images, masks = find_pictures_and_masks(folder, ENDINGS)
    if masks:
        note(f"{folder}: {len(masks)} files named as masks skipped, such as {masks[0].relative_to(folder)}")
    files: dict[str, Path] = {}
    for path in images:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in files:
            raise ValueError(f"{path} and {files[name].name} would have the same mask, {name}.png; rename one")
        files[name] = path
    if not files:
        raise ValueError(f"{folder}: contains no images ({', '.join(ENDINGS)})")
    return files
