"""`fulora segment`: masks of a folder of pictures, by trained networks."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    import numpy as np
    from jaxtyping import UInt8

    from fulora.data.provenance import Provenance


def segment(
    pictures: Annotated[
        Path, typer.Argument(help="Folder of pictures: PNG and others, MHA; in any subfolders; masks are passed over.")
    ],
    unet: Annotated[
        list[Path], typer.Option(help="Folder of a trained network (train_unet-...); several are averaged.")
    ],
    out: Annotated[Path, typer.Option(help="New folder for the masks: NAME.png with class numbers.")],
    flip: Annotated[bool, typer.Option(help="Average over each picture and its mirror image.")] = False,
    raw: Annotated[bool, typer.Option(help="Leave masks as they come: keep small pieces and holes.")] = False,
    overlays: Annotated[Path | None, typer.Option(help="Write a PNG with the outlines on some pictures.")] = None,
    batch_size: Annotated[int, typer.Option(min=1, help="Pictures at once.")] = 16,
    device: Annotated[str, typer.Option(help="auto, cpu, cuda.")] = "auto",
) -> None:
    """Segment pictures of any size with one network, or with the mean of several; masks have their pictures' sizes.

    Which class number is which structure is printed, and written beside the masks (`label_set.json`), where `fulora
    measure` finds it. Networks of other structures are not averaged. Pictures that a network, or what it began with,
    learned from are refused. For research only, never for the care of a patient.

    Examples:

      fulora segment pictures --unet work/train_unet-0123456789abcdef --out masks

      fulora segment pictures --unet fold0 --unet fold1 --unet fold2 --flip --out masks --overlays look.png

      fulora measure hc masks --pixel-sizes pixel_sizes.csv --out hc.csv
    """
    import numpy as np
    from PIL import Image as Pil

    from fulora.data.label_set import read_label_set
    from fulora.data.structures import refuse_other_structures, structures_of
    from fulora.intake.formats.gray_picture import read_picture
    from fulora.segmentation.config import SegmentConfig
    from fulora.segmentation.model import load_unet
    from fulora.segmentation.predict import predict
    from fulora.training.devices import pick_device

    files = _files(pictures)
    if out.exists() and any(out.iterdir()):
        raise ValueError(f"{out}: holds something already; give a new folder for the masks")
    learned = _learned(pictures, files, unet)
    models = [load_unet(folder).to(pick_device(device)) for folder in unet]
    known = [read_label_set(folder) for folder in unet]
    for folder, labels in zip(unet, known, strict=True):
        refuse_other_structures(known[0], labels, name=f"--unet {unet[0]}", other_name=f"--unet {folder}")
    config = SegmentConfig(flip=flip, clean=not raw, batch_size=batch_size)
    found = predict(models, map(read_picture, files.values()), config, total=len(files))
    out.mkdir(parents=True, exist_ok=True)
    learned.write(out)
    empty, shown = 0, []
    places = set(np.linspace(0, len(files) - 1, min(5, len(files))).astype(int).tolist())
    for place, (name, mask) in enumerate(zip(files, found, strict=True)):
        target = out / f"{name}.png"
        target.parent.mkdir(parents=True, exist_ok=True)
        Pil.fromarray(mask).save(target)
        empty += not mask.any()
        if place in places:
            shown.append((name, mask))
    if overlays is not None:
        overlays.write_bytes(_sheet(files, shown))
    known[0].write(out)
    meaning = ", ".join(f"{number} is {name}" for number, name in structures_of(known[0]).items())
    print(f"{len(files)} masks in {out}: {meaning}" + (f"; {empty} are empty" if empty else ""))


def _learned(folder: Path, files: dict[str, Path], unets: list[Path]) -> "Provenance":
    """Whom the networks learned from; a note of those of which that is not known.

    Raises:
        OverlapError: a picture, or the patient of an image set's picture, is among them.
    """
    from fulora.data.image_identities import identify_files
    from fulora.data.leak_check import describe_unknown, refuse_leaked_identities
    from fulora.data.provenance import Provenance, provenance_of
    from fulora.intake.formats.gray_picture import read_picture
    from fulora.progress import note

    models = [provenance_of(unet, f"U-Net {unet.name}") for unet in unets]
    for line in describe_unknown(refuse_leaked_identities(models, identify_files(folder, files, read_picture))):
        note(line)
    return Provenance().joined(*models)


def _files(folder: Path) -> dict[str, Path]:
    """Pictures by the name of their mask, less its ending; files named as masks are passed over."""
    from fulora.intake.masks.file_names import find_pictures_and_masks
    from fulora.intake.picture_files import PICTURES
    from fulora.progress import note

    endings = (*PICTURES, ".mha")
    pictures, masks = find_pictures_and_masks(folder, endings)
    if masks:
        note(f"{folder}: {len(masks)} files named as masks passed over, such as {masks[0].relative_to(folder)}")
    found: dict[str, Path] = {}
    for path in pictures:
        name = path.relative_to(folder).with_suffix("").as_posix()
        if name in found:
            raise ValueError(f"{path} and {found[name].name} would have the same mask, {name}.png; rename one")
        found[name] = path
    if not found:
        raise ValueError(f"{folder}: holds no pictures ({', '.join(endings)})")
    return found


def _sheet(files: dict[str, Path], shown: "list[tuple[str, UInt8[np.ndarray, 'h w']]]") -> bytes:
    import numpy as np

    from fulora.intake.formats.gray_picture import read_picture
    from fulora.report.overlays import Overlay, plot_overlays

    return plot_overlays(
        {
            "masks": [
                Overlay(read_picture(files[name]), np.zeros_like(mask), mask, Path(name).name) for name, mask in shown
            ]
        }
    )
