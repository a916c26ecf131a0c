"""B-mode ultrasound phantoms of fetal planes, with known geometry, for several sites.

The image formation of a machine is simulated. The anatomy gives, on a grid of beam angle x depth, the diffuse
echogenicity, specular echoes and absorption. Then: complex Gaussian scatterers times the echo amplitude (fully
developed speckle: Goodman, "Some fundamental properties of speckle", J. Opt. Soc. Am. 66, 1976), shadow as the
exponential of the absorption summed along each beam, attenuation and time-gain compensation, a Gaussian point-spread
function of constant *angular* width (its lateral width in mm grows with depth) that widens away from the focus,
receiver noise, envelope, spatial compounding, log compression, grey map, scan conversion to the sector.

Masks, ``hc_mm`` and ``aop_deg`` come from the same continuous ellipses as the image.
"""

import hashlib
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from fulora.intake.phantoms import anatomy, cervix_and_brain_planes
from fulora.intake.phantoms.canvas import Array, Oval, Scene
from fulora.intake.phantoms.sites import SITES, Site

PLANES = ("abdomen", "brain", "femur", "thorax", "other")
INTRAPARTUM = "intrapartum"
HEADS: Mapping[str, Callable[[Scene], Oval]] = {
    "brain": anatomy.brain,
    "trans-thalamic": anatomy.brain,
    "trans-cerebellum": cervix_and_brain_planes.trans_cerebellum,
    "trans-ventricular": cervix_and_brain_planes.trans_ventricular,
}
"""Painters of planes whose head circumference is known."""

PAINTERS: Mapping[str, Callable[[Scene], object]] = {
    "abdomen": anatomy.abdomen,
    "femur": anatomy.femur,
    "thorax": anatomy.thorax,
    "other": anatomy.other,
    "cervix": cervix_and_brain_planes.cervix,
}
DRAWN = (*PLANES, INTRAPARTUM, "cervix", *tuple(HEADS)[1:])
WITHOUT_MASK = ("other",)
MIN_SIZE_PX = 32


@dataclass(frozen=True)
class Phantoms:
    """A batch of N phantoms.

    Attributes:
        images: (N, H, W) uint8, 0 outside the sector.
        masks: (N, H, W) uint8. Brain and its planes: 1 inside the outer skull ellipse; abdomen and thorax: 1 inside the
            body outline; femur: 1 in the shaft; cervix: 1 in the canal; other: 0; intrapartum: 1 pubic symphysis, 2
            fetal head. A pixel belongs to a shape when its centre does, also where the sector does not reach.
        pixel_size_mm: (N,) side of a pixel, mm.
        hc_mm: (N,) true head circumference, mm; NaN unless a head.
        aop_deg: (N,) true angle of progression, degrees; NaN unless intrapartum.
    """

    images: NDArray[np.uint8]
    masks: NDArray[np.uint8]
    pixel_size_mm: NDArray[np.float64]
    hc_mm: NDArray[np.float64]
    aop_deg: NDArray[np.float64]


@dataclass(frozen=True)
class _Sector:
    """Sector of one picture: apex (x, y), radii near and far (units), half angle (rad)."""

    x: float
    y: float
    near: float
    far: float
    half: float


def ellipse_perimeter(a: float, b: float) -> float:
    """Return the perimeter of an ellipse with semi-axes ``a`` and ``b``, in their unit.

    Ramanujan's second approximation (Modular equations and approximations to pi, 1914); relative error below 1e-5 for
    b/a above 0.3.
    """
    h = ((a - b) / (a + b)) ** 2
    return math.pi * (a + b) * (1 + 3 * h / (10 + math.sqrt(4 - 3 * h)))


def draw(plane: str, indices: Sequence[int], *, site: str, size_px: int, seed: int) -> Phantoms:
    """Generate the phantoms ``indices`` of one plane at one site.

    Phantom i of (seed, site, plane, size_px) is the same, byte for byte, in any batch.

    Args:
        plane: one of ``DRAWN``.
        site: key of ``SITES``.
        size_px: height and width of the images, pixels, at least 32.
        seed: of the whole collection.

    Raises:
        ValueError: if the plane or site is unknown, the size too small, or there are no indices.
    """
    if plane not in DRAWN:
        raise ValueError(f"unknown plane {plane!r}: allowed are {', '.join(DRAWN)}")
    if site not in SITES:
        raise ValueError(f"unknown site {site!r}: allowed are {', '.join(SITES)}")
    if size_px < MIN_SIZE_PX:
        raise ValueError(f"size_px is {size_px}: allowed are {MIN_SIZE_PX} and more")
    if len(indices) == 0:
        raise ValueError("indices is empty: allowed is one index or more")
    shape = (len(indices), size_px, size_px)
    numbers = (np.full(len(indices), np.nan) for _ in range(3))
    out = Phantoms(np.zeros(shape, np.uint8), np.zeros(shape, np.uint8), *numbers)
    for row, index in enumerate(indices):
        digest = hashlib.blake2b(f"{seed}/{site}/{plane}/{int(index)}".encode(), digest_size=16).digest()
        _draw_one(out, row, plane, SITES[site], np.random.default_rng(int.from_bytes(digest, "little")))
    return out


def _draw_one(out: Phantoms, row: int, plane: str, site: Site, rng: np.random.Generator) -> None:
    size = out.images.shape[1]
    sector = _sector(site, plane == INTRAPARTUM, rng)
    scene = _scene(sector, size, rng)
    if plane == INTRAPARTUM:
        out.aop_deg[row] = anatomy.intrapartum(scene)
    elif plane in HEADS:
        head = HEADS[plane](scene)
        hc = scene.uni(150, 340)
        scene.unit_mm = hc / ellipse_perimeter(head.a, head.b)
        out.hc_mm[row] = hc
    else:
        PAINTERS[plane](scene)
    out.pixel_size_mm[row] = scene.unit_mm * 2 / size
    grey = _beamform(scene, site)
    out.images[row] = _scan_convert(grey, sector, size)
    x, y = _pixels(size)
    for label, shape in scene.masks:
        out.masks[row][shape.distance(x, y) < 0] = label


def _sector(site: Site, wide: bool, rng: np.random.Generator) -> _Sector:
    half = math.radians(site.half_angle_deg * (1.55 if wide else 1.0) + rng.uniform(-2, 2))
    half = min(half, math.radians(68))
    near = site.footprint * (0.45 if wide else 1.0)
    top = rng.uniform(-1.02, -0.86) if not wide else rng.uniform(-1.0, -0.92)
    span = rng.uniform(1.85, 2.2)
    shift = rng.uniform(-0.12, 0.12)
    seen = math.atan2(1 + abs(shift), max(near - 1 - top, 1e-6))  # beams further out miss the image
    return _Sector(shift, top - near, near, near + span, min(half, seen))


def _scene(sector: _Sector, size: int, rng: np.random.Generator) -> Scene:
    """Empty scene on the beam grid: R = size depths, T = 1.15 size beams."""
    radius = np.linspace(sector.near, sector.far, size, dtype=np.float32)
    angle = np.linspace(-sector.half, sector.half, int(1.15 * size), dtype=np.float32)
    return Scene((sector.x, sector.y), radius, angle, 2.2 / size, rng)


def _beamform(scene: Scene, site: Site) -> Array:
    """Grey values 0 .. 255 (R, T) float32 on the beam grid: the physics of the module."""
    rng, neper = scene.rng, math.log(10) / 20
    depth = (scene.radius - scene.radius[0])[:, None]
    step = float(scene.radius[1] - scene.radius[0])
    loss = np.cumsum(scene.absorb, axis=0, dtype=np.float32) - scene.absorb
    slope = neper * (site.tgc_db - site.attenuation_db)
    through = np.exp(loss * (-step * site.shadow) + slope * depth) * _contact(scene)
    amplitude = np.exp(neper * scene.db) * through
    scatter = rng.standard_normal((*scene.db.shape, 2 * site.looks), dtype=np.float32)
    speckle = _blur(scatter * (amplitude * math.sqrt(0.5))[..., None], scene, site, keep_power=True)
    bright = _blur(scene.spec * through * site.bone_gain, scene, site, keep_power=False)
    # Receiver noise: the scatterers' draws turned upside down, far from where they were used.
    noise = np.exp(neper * (site.noise_db + site.tgc_db * depth))
    signal = scatter[::-1, ::-1] * noise[..., None]
    signal += speckle
    signal[..., ::2] += bright[..., None]
    power = np.einsum("rtc,rtc->rt", signal, signal) / site.looks
    gain = site.gain_db + float(rng.normal(0, 1.5))
    db = (10 / math.log(10)) * np.log(power + 1e-10) + gain
    level = np.clip(db / site.dynamic_range_db + 1, 0, 1)
    return np.asarray(255 * level ** (site.gamma * rng.uniform(0.93, 1.07)), np.float32)


def _contact(scene: Scene) -> Array:
    """Factor (1, T): beams that lost contact with the skin or meet a maternal rib."""
    rng = scene.rng
    angle = np.linspace(-1, 1, scene.angle.size, dtype=np.float32)[None, :]
    centre, width, drop = rng.uniform(-1, 1), rng.uniform(0.05, 0.2), rng.uniform(0.5, 0.9)
    if rng.random() > 0.35:
        return np.ones_like(angle)
    return np.asarray(1 - drop * np.exp(-(((angle - centre) / width) ** 2)), np.float32)


def _blur(field: Array, scene: Scene, site: Site, *, keep_power: bool) -> Array:
    """Point-spread function, wider away from the focus; `keep_power` keeps the mean square of white noise."""
    across = math.radians(site.lateral_deg) / float(scene.angle[1] - scene.angle[0])
    along = _kernel(max(site.axial / float(scene.radius[1] - scene.radius[0]), 0.35))
    far = np.clip(np.abs(scene.radius - scene.radius[0] - site.focus) / 1.5, 0, 1)
    total = np.zeros_like(field)
    for sigma, weight in ((across, 1 - far), (across * (1 + 1.5 * site.defocus), far)):
        kernel = _kernel(sigma)
        power = float(np.sum(kernel**2) * np.sum(along**2)) if keep_power else 1.0
        image = np.asarray(cv2.sepFilter2D(field, -1, kernel, along, borderType=cv2.BORDER_REFLECT), np.float32)
        image *= (weight / math.sqrt(power)).reshape((-1,) + (1,) * (field.ndim - 1))
        total += image
    return total


def _kernel(sigma: float) -> Array:
    """Gaussian kernel (2k + 1,) with unit sum; sigma in samples."""
    reach = max(1, math.ceil(2.5 * sigma))
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(kernel / kernel.sum(), np.float32)


def _pixels(size: int) -> tuple[Array, Array]:
    """Normalised coordinates of the pixel centres: x (1, W) and y (H, 1)."""
    centre = ((2 * np.arange(size) + 1) / size - 1).astype(np.float32)
    return centre[None, :], centre[:, None]


def _scan_convert(grey: Array, sector: _Sector, size: int) -> NDArray[np.uint8]:
    """Beam grid to picture (H, W) uint8; black outside the sector."""
    x, y = _pixels(size)
    dx, dy = x - np.float32(sector.x), y - np.float32(sector.y)
    per_radius, per_angle = (grey.shape[0] - 1) / (sector.far - sector.near), (grey.shape[1] - 1) / (2 * sector.half)
    rows = (np.sqrt(dx * dx + dy * dy) - sector.near) * per_radius
    cols = (np.arctan2(dx, dy) + sector.half) * per_angle
    image = cv2.remap(grey, cols, rows, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT, borderValue=0)
    return np.asarray(np.rint(image), np.uint8)
