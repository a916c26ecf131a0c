"""Small image sets of noise: real ones of made-up patients, generated ones, their assessment."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from PIL import Image as Pil

from fulora.data.assessed_images import AssessedImage
from fulora.data.column_types import Split
from fulora.data.image import Image
from fulora.data.image_set import ImageSet, Picture
from fulora.data.label_set import label_set
from fulora.data.provenance import Provenance
from fulora.data.results import write_table

FETAL = label_set("fetal_planes")
PLANES = ("brain", "femur")
SPLITS: Mapping[Split, int] = {"train": 3, "validation": 1, "test": 1}


def noise(text: str) -> np.ndarray:
    return np.random.default_rng(list(text.encode())).integers(0, 256, (24, 24)).astype(np.uint8)


def row(image_id: str, plane: str, split: Split, **values: str) -> Image:
    about = {"source": "s", "site": "A", "patient": "", "width": 0, "height": 0, "sha256": "", "file_name": ""}
    named = {"image_id": image_id, "plane": plane, "split": split}
    return Image.model_validate(about | named | {"origin": "real"} | values)


def real_set(folder: Path, splits: Mapping[Split, int] = SPLITS) -> Path:
    """Of each of two planes so many images of each split, each of a patient of its own."""
    folder.mkdir(parents=True)
    ids = [
        (split, f"{split}{plane}{n}", plane)
        for split, count in splits.items()
        for plane in PLANES
        for n in range(count)
    ]
    rows = [row(image_id, plane, split, patient=image_id) for split, image_id, plane in ids]
    ImageSet.write(folder, [Picture(one, noise(one.image_id)) for one in rows], labels=FETAL)
    return folder


def synthetic_set(
    folder: Path, count: int = 6, *, provenance: Provenance | None = None, like: Mapping[str, str] | None = None
) -> Path:
    """So many generated images of each plane, named as `fulora generate` names them.

    Args:
        like: by id, the id of the image that it has the pixels of.
    """
    folder.mkdir(parents=True)
    made = {"origin": "synthetic", "generator": "g", "seed": "1", "site": "", "source": "fulora"}
    rows = [row(f"synthetic_{plane}_{n:05d}", plane, "train", **made) for plane in PLANES for n in range(count)]
    seen = {one.image_id: (like or {}).get(one.image_id, f"{folder.name}{one.image_id}") for one in rows}
    pictures = [Picture(one, noise(seen[one.image_id])) for one in rows]
    ImageSet.write(folder, pictures, labels=FETAL, provenance=provenance or Provenance.unknown("the backbone"))
    return folder


def assessment_of(folder: Path, out: Path, fails: Sequence[str] = (), filters: Sequence[str] = ("memorised",)) -> Path:
    """An assessment in which the images of some ids were memorised."""
    out.mkdir()
    rows = [
        AssessedImage(image_id=one.image_id, plane=one.plane, fails=("memorised",) if one.image_id in fails else ())
        for one in ImageSet(folder, "").iter_rows()
    ]
    write_table(out, rows)
    (out / "findings.json").write_text(json.dumps({"filters": [{"name": name} for name in filters]}))
    return out


def class_folders(folder: Path, planes: Sequence[str] = PLANES, count: int = 4) -> Path:
    """Pictures of another tool: so many PNGs in each class folder."""
    for plane in planes:
        (folder / plane).mkdir(parents=True)
        for n in range(count):
            Pil.fromarray(noise(f"{folder.name}{plane}{n}")).save(folder / plane / f"{n}.png")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """The files that image sets of the same inputs share: pictures, rows, classes, `mix.json`."""
    files = (path for path in sorted(folder.rglob("*")) if path.suffix == ".png" or path.name in SAME)
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


SAME = ("metadata.jsonl", "label_set.json", "mix.json")
