"""The canvas of the ultrasound phantoms: shapes, and the maps they are painted on.

Coordinates are normalised image coordinates: x to the right, y down (away from the transducer), both -1 .. 1 over the
image; one unit is half the image width. Angles are radians from x towards y. Echogenicity is in dB relative to a bone
echo (0 dB). Shapes are painted in beam space, rows by depth and columns by beam angle, each only where it can reach.
"""

import math
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Window = tuple[slice, slice]

SOFT_DB = -23.0


@dataclass(frozen=True)
class Oval:
    """Ellipse with centre (cx, cy), semi-axes a, b (normalised) and tilt theta (rad)."""

    cx: float
    cy: float
    a: float
    b: float
    theta: float = 0.0

    @property
    def reach(self) -> float:
        """Radius of a circle round the centre that holds the shape."""
        return max(self.a, self.b)

    def relative(self, x: Array, y: Array) -> tuple[Array, Array]:
        """Coordinates (p, q) along the axes, 1 at their ends; shapes broadcast x and y."""
        c, s = math.cos(self.theta), math.sin(self.theta)
        p = x * (c / self.a) + (y * (s / self.a) - (c * self.cx + s * self.cy) / self.a)
        q = y * (c / self.b) - (x * (s / self.b) - (s * self.cx - c * self.cy) / self.b)
        return p, q

    def distance(self, x: Array, y: Array) -> Array:
        """First-order signed distance to the outline (negative inside), normalised units."""
        p, q = self.relative(x, y)
        p2, q2 = p * p, q * q
        slope = np.sqrt(p2 * (1 / self.a**2) + q2 * (1 / self.b**2)) + 1e-3
        return np.asarray((p2 + q2 - 1) * 0.5 / slope)

    def at(self, p: float, q: float) -> tuple[float, float]:
        """Image point of the relative position (p, q): (1, 0) is the end of axis a."""
        c, s = math.cos(self.theta), math.sin(self.theta)
        u, v = p * self.a, q * self.b
        return self.cx + c * u - s * v, self.cy + s * u + c * v

    def part(self, p: float, q: float, a: float, b: float, turn: float = 0.0) -> "Oval":
        """Ellipse at relative place (p, q), axes in units of sqrt(a*b), turned by ``turn``."""
        scale = math.sqrt(self.a * self.b)
        return Oval(*self.at(p, q), a * scale, b * scale, self.theta + turn)

    def grown(self, by: float) -> "Oval":
        """The ellipse with both semi-axes longer by ``by`` (normalised units)."""
        return Oval(self.cx, self.cy, self.a + by, self.b + by, self.theta)

    def extent(self) -> tuple[float, float]:
        """Half width in x and half height in y of the bounding box, normalised units."""
        c, s = math.cos(self.theta), math.sin(self.theta)
        return math.hypot(self.a * c, self.b * s), math.hypot(self.a * s, self.b * c)


@dataclass(frozen=True)
class Shaft:
    """Curved rod: centre, half length, radius, tilt (rad), sagitta ``bend`` (normalised)."""

    cx: float
    cy: float
    half: float
    radius: float
    theta: float
    bend: float = 0.0

    @property
    def reach(self) -> float:
        """Radius of a circle round the centre that holds the shape."""
        return self.half + self.radius + abs(self.bend)

    def distance(self, x: Array, y: Array) -> Array:
        """Signed distance to the surface (negative inside), normalised units."""
        u, v = Oval(self.cx, self.cy, 1.0, 1.0, self.theta).relative(x, y)
        t = np.minimum(np.abs(u) * (1 / self.half), 1.4)
        side = v - self.bend * (1 - t * t)
        over = np.maximum(np.abs(u) - self.half, 0)
        return np.asarray(np.sqrt(over * over + side * side) - self.radius, np.float32)


Shape = Oval | Shaft


def _span(grid: Array, low: float, high: float) -> slice:
    """Indices of an evenly spaced ascending grid that lie between low and high."""
    first, n = float(grid[0]), grid.size
    per = (n - 1) / (float(grid[-1]) - first)
    start, stop = math.ceil((low - first) * per), math.floor((high - first) * per) + 1
    return slice(min(max(start, 0), n), min(max(stop, 0), n))


@dataclass
class Scene:
    """Canvas in beam space and the maps painted on it (maps are (R, T) float32).

    Attributes:
        apex: image point (x, y) where the beams meet.
        radius: (R,) distance of the samples from the apex, ascending, units.
        angle: (T,) beam angle from straight down, ascending, rad.
        soft: width of painted edges, normalised units.
        x, y: (R, T) image coordinates of the samples.
        db: diffuse echogenicity, dB re bone.
        spec: specular (unspeckled) amplitude, 0 .. about 1.5.
        absorb: extra attenuation along the beam, neper per unit.
        masks: (label, shape) pairs in painting order.
        unit_mm: length of one unit, mm.
    """

    apex: tuple[float, float]
    radius: Array
    angle: Array
    soft: float
    rng: np.random.Generator
    x: Array = field(init=False)
    y: Array = field(init=False)
    db: Array = field(init=False)
    spec: Array = field(init=False)
    absorb: Array = field(init=False)
    masks: list[tuple[int, Shape]] = field(default_factory=list)
    unit_mm: float = 80.0

    def __post_init__(self) -> None:
        self.x = self.apex[0] + self.radius[:, None] * np.sin(self.angle)[None, :]
        self.y = self.apex[1] + self.radius[:, None] * np.cos(self.angle)[None, :]
        self.db = np.full(self.x.shape, SOFT_DB, np.float32)
        self.spec = np.zeros(self.x.shape, np.float32)
        self.absorb = np.zeros(self.x.shape, np.float32)

    def uni(self, low: float, high: float) -> float:
        """One uniform draw from [low, high)."""
        return low + (high - low) * float(self.rng.random())

    def sign(self) -> float:
        """-1 or 1, evenly."""
        return 1.0 if self.rng.random() < 0.5 else -1.0

    def noise(self, rows: int, cols: int) -> Array:
        """Smooth random field (R, T) of about unit variance, rows x cols cells."""
        cells = self.rng.standard_normal((rows, cols), dtype=np.float32)
        size = (self.angle.size, self.radius.size)
        return np.asarray(cv2.resize(cells, size, interpolation=cv2.INTER_CUBIC), np.float32)

    def window(self, shape: Shape) -> Window:
        """Rows and columns that can hold a part of the shape (may be empty)."""
        reach = shape.reach + self.soft
        dx, dy = shape.cx - self.apex[0], shape.cy - self.apex[1]
        far = math.hypot(dx, dy)
        if far <= reach:
            return slice(0, self.radius.size), slice(0, self.angle.size)
        mid, open_ = math.atan2(dx, dy), math.asin(reach / far)
        return _span(self.radius, far - reach, far + reach), _span(self.angle, mid - open_, mid + open_)

    def _cover(self, shape: Shape, w: Window) -> Array:
        """Coverage 0 .. 1 of the shape in the window, with a soft edge."""
        level = shape.distance(self.x[w], self.y[w]) * (-1 / self.soft) + 0.5
        return np.asarray(np.minimum(np.maximum(level, 0), 1), np.float32)

    def fill(self, shape: Shape, db: float, texture: Array | None = None) -> None:
        """Paint the inside with ``db`` (+ ``texture``, (R, T) dB); wipes what was there."""
        w = self.window(shape)
        cover = self._cover(shape, w)
        level = db if texture is None else texture[w] + np.float32(db)
        self.db[w] += cover * (level - self.db[w])
        keep = 1 - cover
        self.spec[w] *= keep
        self.absorb[w] *= keep

    def line(self, shape: Shape, amplitude: float, absorb: float = 0.0) -> None:
        """Add a bright body: specular ``amplitude`` and ``absorb`` inside the shape."""
        w = self.window(shape)
        cover = self._cover(shape, w)
        self.spec[w] = np.maximum(self.spec[w], cover * amplitude)
        if absorb > 0:
            self.absorb[w] += cover * absorb

    def rim(self, e: Oval, width: float, amplitude: float, absorb: float = 0.0, gate: Array | None = None) -> None:
        """Bright shell just inside ellipse ``e``; brightest where the beam meets it squarely.

        Args:
            width: thickness, units.
            amplitude: specular amplitude at normal incidence.
            absorb: attenuation in the shell, neper per unit.
            gate: (R, T) factor 0 .. 1 that interrupts the shell (ribs).
        """
        w = self.window(e)
        x, y = self.x[w], self.y[w]
        half = max(width, self.soft) / 2
        p, q = e.relative(x, y)
        n_u, n_v = p * (1 / e.a), q * (1 / e.b)  # outward normal, not yet of unit length
        slope = np.sqrt(n_u * n_u + n_v * n_v) + 1e-3
        depth = (p * p + q * q - 1) * 0.5 / slope + half
        cover = np.exp(depth * depth * (-1 / half**2))
        if gate is not None:
            cover = cover * gate[w]
        tilt = self.angle[None, w[1]] + e.theta  # beam (sin, cos) turned into the ellipse's frame
        facing = (n_u * np.sin(tilt) + n_v * np.cos(tilt)) / slope
        bright = cover * (0.28 + 0.72 * facing * facing)
        self.spec[w] = np.maximum(self.spec[w], bright * amplitude)
        if absorb > 0:
            self.absorb[w] += cover * absorb


def angle_of_progression(ps: Oval, head: Oval) -> float:
    """Angle of progression in degrees, NaN if the inferior end lies in the head.

    The angle at the inferior end p of the symphysis' major axis (the end with the larger x) between the direction to
    its superior end and the tangent to the head ellipse whose contact point lies further right. Tangents by the affine
    map that makes the head the unit circle: q = diag(1/A, 1/B) R(-T)(p - C), d2 = |q|^2, contacts
    t = q/d2 +- sqrt(d2 - 1)/d2 * (-q_y, q_x).
    """
    inf, sup = sorted((ps.at(1, 0), ps.at(-1, 0)), reverse=True)
    c, s = math.cos(head.theta), math.sin(head.theta)
    dx, dy = inf[0] - head.cx, inf[1] - head.cy
    qx, qy = (c * dx + s * dy) / head.a, (c * dy - s * dx) / head.b
    d2 = qx * qx + qy * qy
    if d2 <= 1:
        return math.nan
    root = math.sqrt(d2 - 1)
    contacts = [head.at((qx - k * root * qy) / d2, (qy + k * root * qx) / d2) for k in (-1, 1)]
    touch = max(contacts)
    one, two = (math.atan2(end[1] - inf[1], end[0] - inf[0]) for end in (sup, touch))
    turn = abs(math.degrees(one - two)) % 360
    return min(turn, 360 - turn)
