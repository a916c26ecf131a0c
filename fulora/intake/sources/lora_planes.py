"""The 100 Spanish planes that FU-LoRA's LoRA was trained on: `<plane>/PatientNNNNN_PlaneP_i_of_n.png`.

FETAL_PLANES_DB, Burgos-Artizzu et al. 2020, Zenodo 3904280. The list beside them names 20 cervix images that were
never published there; the folders are what counts.
"""

import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from fulora.data.labels import PLANES
from fulora.intake.decode import read_gray
from fulora.intake.raw import Complain, RawImage, SourceError, refuse

NAME = re.compile(r"Patient(\d+)_Plane\d_\d+_of_\d+")


def read_lora_planes(folder: Path, complain: Complain = refuse) -> Iterator[RawImage]:
    """Every image of the five plane folders; names that hold no patient are told to `complain`.

    Raises:
        SourceError: a plane folder without images, or a file name without a patient number.
    """
    for plane in PLANES:
        files = sorted((folder / plane).glob("*.png"))
        if not files:
            raise SourceError(f"{folder / plane}: no PNG images; expected one folder a plane: {', '.join(PLANES)}")
        for path in files:
            match = NAME.fullmatch(path.stem)
            if match is None:
                complain(f"{path}: expected a name such as Patient00188_Plane3_3_of_3.png")
                continue
            load = partial(_load, path)
            yield RawImage(path.stem, plane, "fetal_planes_db", "barcelona", match[1], load, path=path)


def _load(path: Path) -> tuple[np.ndarray, None]:
    return read_gray(path), None
