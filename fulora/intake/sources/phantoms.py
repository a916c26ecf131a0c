"""Phantoms as a source: simulated planes of known geometry, of several populations."""

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from pydantic import Field, PositiveInt, field_validator

from fulora.data.column_types import Plane
from fulora.data.label_set import LabelSet, LabelSetError, label_set
from fulora.data.splits import Member
from fulora.intake.phantoms.scan import DRAWN, PLANES, WITHOUT_MASK, draw
from fulora.intake.phantoms.sites import SITES
from fulora.intake.raw_image import OnSkip, RawImage, SourceError, refuse
from fulora.intake.source_config import SourceConfig, SourceInputs

SETS = ("fetal_planes", "fetal_planes_db", "brain_planes", "intrapartum")
"""Label sets of phantoms: the first that holds all planes of a source is used."""


class PhantomsConfig(SourceConfig):
    """Phantoms of one population: `per_plane` images of each plane at each site.

    Attributes:
        sites: names of `fulora.intake.phantoms.sites.SITES`: base1..3, A, B, C, D.
        planes: of `fulora.intake.phantoms.scan.DRAWN`.
        per_plane: images of each plane at each site.
        images_per_patient: so many images of a plane show one patient.
        first_patient: number of the first patient, so that two sources of one site share none.
        seed: of all anatomy and noise; equal seeds draw equal images.
    """

    kind: Literal["phantoms"] = "phantoms"
    sites: tuple[str, ...] = Field(min_length=1)
    planes: tuple[Plane, ...] = Field(default=PLANES, min_length=1)
    per_plane: PositiveInt
    images_per_patient: PositiveInt = 2
    first_patient: int = Field(default=0, ge=0)
    seed: int = 0

    @field_validator("planes")
    @classmethod
    def _check_planes(cls, value: tuple[Plane, ...]) -> tuple[Plane, ...]:
        unknown = [plane for plane in value if plane not in DRAWN]
        if unknown:
            raise ValueError(f"no phantom shows {unknown[0]!r}; there are {', '.join(DRAWN)}")
        return value

    def source_classes(self) -> tuple[str, ...]:
        """Return its planes."""
        return self.planes

    def has_masks(self) -> bool:
        """Return whether all of its planes have masks."""
        return not set(self.planes) & set(WITHOUT_MASK)

    def has_patients(self) -> bool:
        """Return False: phantoms are not images of patients."""
        return False

    def source_label_set(self, folder: Path | None) -> LabelSet:
        """Return the shipped label set that holds its planes.

        Raises:
            LabelSetError: if none holds them all.
        """
        for labels in map(label_set, SETS):
            if set(self.planes) <= set(labels.names):
                return labels
        raise LabelSetError(
            f"phantoms of {', '.join(self.planes)}: no shipped label set holds all of them; set label_set: to "
            f"several, such as [fetal_planes, intrapartum] ({', '.join(SETS)})"
        )

    def read(self, inputs: SourceInputs, on_skip: OnSkip = refuse) -> Iterator[RawImage]:
        """Yield every phantom, `inputs.size_px` wide and high.

        Raises:
            SourceError: if a site is unknown.
        """
        check_sites(self.sites)
        for site in self.sites:
            for plane in self.planes:
                yield from self._generate(site, plane, inputs.size_px)

    def _generate(self, site: str, plane: Plane, size_px: int) -> Iterator[RawImage]:
        numbers = self.numbers()
        drawn = draw(plane, numbers, site=site, size_px=size_px, seed=self.seed)
        for place, number in enumerate(numbers):
            mask = drawn.masks[place] if drawn.masks[place].any() else None
            yield RawImage(
                f"{site}_{plane}_{number:05d}",
                plane,
                "phantoms",
                site,
                str(number // self.images_per_patient),
                partial(_return_pair, drawn.images[place], mask),
                machine=SITES[site].machine,
                pixel_size_mm=float(drawn.pixel_size_mm[place]),
                hc_mm=_finite(drawn.hc_mm[place]),
                aop_deg=_finite(drawn.aop_deg[place]),
            )

    def members(self) -> Iterator[Member]:
        """Yield its images as a split needs them, without generating them.

        Raises:
            SourceError: if a site is unknown.
        """
        check_sites(self.sites)
        for site in self.sites:
            for plane in self.planes:
                for number in self.numbers():
                    patient = f"phantoms/{site}/{number // self.images_per_patient}"
                    yield Member(f"phantoms_{site}_{plane}_{number:05d}", patient, plane, site)

    def numbers(self) -> range:
        """Return the numbers of the phantoms of each plane; `images_per_patient` in a row are of one patient."""
        first = self.first_patient * self.images_per_patient
        return range(first, first + self.per_plane)


def check_sites(sites: tuple[str, ...]) -> None:
    """Raise SourceError if a site is unknown."""
    unknown = [site for site in sites if site not in SITES]
    if unknown:
        raise SourceError(f"sites: unknown population {', '.join(unknown)}; known are {', '.join(SITES)}")


def _return_pair(pixels: np.ndarray, mask: np.ndarray | None) -> tuple[np.ndarray, np.ndarray | None]:
    return pixels, mask


def _finite(value: float) -> float | None:
    return None if np.isnan(value) else round(float(value), 4)
