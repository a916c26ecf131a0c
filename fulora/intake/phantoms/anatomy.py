"""Anatomy of the ultrasound phantoms, before the simulation of a machine.

Coordinates, units and painting are those of `canvas`. Every painter draws all its random numbers from the scene's
generator, in a number that does not depend on the image size: a phantom has the same anatomy at 64 and 256 pixels.
"""

import math
from collections.abc import Callable

import numpy as np

from fulora.intake.phantoms.canvas import SOFT_DB, Oval, Scene, Shaft, angle_of_progression

FLUID_DB = -58.0


def background(s: Scene, fluid: float = 0.6) -> None:
    """Maternal layers near the transducer, far wall, and a pocket of fluid or placenta."""
    s.db += 2.0 * s.noise(14, 5) + 2.5 * s.noise(4, 3)
    top = s.uni(-0.95, -0.6)
    for depth in np.sort(s.rng.uniform(-1.0, top, 3)):
        layer = Shaft(s.uni(-0.3, 0.3), float(depth), 1.6, 0.012, s.uni(-0.1, 0.1), s.uni(0, 0.2))
        s.line(layer, s.uni(0.1, 0.3))
    pocket = Oval(s.uni(-0.2, 0.2), s.uni(0, 0.25), s.uni(0.8, 1.15), s.uni(0.6, 0.9), s.uni(-0.4, 0.4))
    if s.rng.random() < fluid:
        s.fill(pocket, FLUID_DB + s.uni(0, 14))
        s.rim(pocket.grown(0.03), 0.05, s.uni(0.05, 0.16))
    if s.rng.random() < 0.5:
        p = Oval(s.uni(-0.9, 0.9), s.uni(-0.6, 0.9), s.uni(0.5, 0.8), s.uni(0.2, 0.4), s.uni(-0.6, 0.6))
        s.fill(p, s.uni(-21, -16), 2.5 * s.noise(12, 12))


def trunk(s: Scene, round_min: float, size: tuple[float, float]) -> Oval:
    """Round body outline somewhere near the middle, any rotation; label 1."""
    a = s.uni(*size)
    room = min(max(0.97 - a, 0.05), 0.22)
    body = Oval(s.uni(-1, 1) * room, s.uni(-0.7, 1) * room, a, a * s.uni(round_min, 0.98), s.uni(-math.pi, math.pi))
    s.masks.append((1, body))
    s.unit_mm = s.uni(35, 62) / a
    return body


def spine(s: Scene, body: Oval, scale: float = 1.0) -> None:
    """Triangle of three bright centres round a dark canal at the +u end, with shadow."""
    mid = body.part(0.76, 0.0, 0.17 * scale, 0.15 * scale)
    s.fill(mid, SOFT_DB - 6)
    for p, q in ((-0.75, 0.0), (0.6, 0.85), (0.6, -0.85)):
        s.line(mid.part(p, q, 0.5, 0.36, s.uni(-0.4, 0.4)), s.uni(0.8, 1.2), 9.0)
    s.fill(mid.part(0.1, 0.0, 0.36, 0.36), FLUID_DB)


def brain(s: Scene, inside: Callable[[Scene, Oval], None] | None = None) -> Oval:
    """Axial head, label 1: skull, midline, cavum septi pellucidi, thalami, ventricle, sulci.

    Args:
        inside: paints the inside of the skull instead.
    """
    background(s)
    a, q = s.uni(0.56, 0.88), s.uni(0.72, 0.88)
    wild = s.rng.random() < 0.35
    theta = s.uni(-math.pi, math.pi) if wild else s.uni(-0.5, 0.5) + math.pi * int(s.rng.integers(2))
    b = a * q
    ex, ey = Oval(0, 0, a, b, theta).extent()
    rx, ry = min(0.2, 0.97 - ex), min(0.2, 0.97 - ey)
    head = Oval(s.uni(-rx, rx), s.uni(-ry, ry), a, b, theta)
    s.fill(head.grown(0.05), SOFT_DB + 2)
    s.fill(head, s.uni(-36, -31), 3.0 * s.noise(14, 14) + 2.0 * s.noise(6, 6))
    (inside or _brain_inside)(s, head)
    s.rim(head, s.uni(0.05, 0.085), s.uni(0.9, 1.3), s.uni(1.5, 5.0))
    s.masks.append((1, head))
    return head


def _brain_inside(s: Scene, head: Oval) -> None:
    """Midline, CSP and the paired structures of the transthalamic plane."""
    for _ in range(9):
        p, q = s.uni(-0.75, 0.75), s.uni(0.25, 0.8) * s.sign()
        if p * p + q * q < 0.72:
            turn, bend = head.theta + s.uni(-0.6, 0.6), s.uni(-0.04, 0.04)
            s.line(Shaft(*head.at(p, q), s.uni(0.04, 0.11), 0.008, turn, bend), s.uni(0.06, 0.2))
    for side in (-1.0, 1.0):
        s.fill(head.part(-0.08, 0.2 * side, 0.2, 0.13, 0.3 * side), -44.0)
        s.fill(head.part(-0.5, 0.3 * side, 0.26, 0.07, -0.35 * side), FLUID_DB)
        s.line(head.part(-0.5, 0.3 * side, 0.17, 0.03, -0.35 * side), s.uni(0.12, 0.22))
    glow = s.uni(0.22, 0.42)
    thin = max(0.012, s.soft * 0.45)
    s.line(Shaft(*head.at(-0.28, 0), 0.52 * head.a, thin, head.theta), glow)
    s.line(Shaft(*head.at(0.78, 0), 0.13 * head.a, thin, head.theta), glow)
    csp = Shaft(*head.at(0.45, 0), 0.1 * head.a, 0.085 * head.b, head.theta)
    s.line(Shaft(csp.cx, csp.cy, csp.half, csp.radius + 2.2 * thin, csp.theta), glow * 0.9)
    s.fill(csp, FLUID_DB)


def abdomen(s: Scene) -> None:
    """Round trunk, stomach bubble, spine, umbilical vein, aorta."""
    background(s)
    body = trunk(s, 0.82, (0.62, 0.9))
    s.fill(body.grown(0.06), -36.0)
    s.fill(body, s.uni(-24, -19), 2.2 * s.noise(16, 16) + 2.0 * s.noise(5, 5))
    side = s.sign()
    place = (s.uni(-0.1, 0.25), side * s.uni(0.42, 0.55))
    s.fill(body.part(*place, s.uni(0.2, 0.32), s.uni(0.15, 0.21), s.uni(-1, 1)), FLUID_DB)
    start, turn = body.at(-0.32, -side * s.uni(0.0, 0.14)), body.theta + s.uni(-0.3, 0.3)
    s.fill(Shaft(*start, 0.26 * body.a, 0.055 * body.a, turn, side * s.uni(0.1, 0.16) * body.a), FLUID_DB)
    s.fill(body.part(0.5, side * 0.08, 0.07, 0.07), FLUID_DB)
    for _ in range(4):
        s.line(body.part(s.uni(-0.7, 0.5), s.uni(-0.7, 0.7), 0.05, 0.02, s.uni(-2, 2)), s.uni(0.1, 0.25))
    spine(s, body)
    s.rim(body, 0.055, s.uni(0.35, 0.7), 0.3)


def thorax(s: Scene) -> None:
    """Round chest with rib arcs and shadows, lungs, four-chamber heart, spine."""
    background(s)
    body = trunk(s, 0.84, (0.64, 0.9))
    s.fill(body.grown(0.06), -36.0)
    s.fill(body, s.uni(-25, -20), 1.6 * s.noise(18, 18) + 1.5 * s.noise(5, 5))
    u, v = body.relative(s.x, s.y)
    wave = np.cos(float(s.rng.integers(5, 8)) * np.arctan2(v, u) + np.float32(s.uni(0, 6.28)))
    gate = np.clip(1.6 * wave + 0.1, 0, 1).astype(np.float32)
    s.rim(body, 0.035, 0.22)
    s.rim(body.grown(-0.06), 0.075, s.uni(0.85, 1.25), s.uni(7, 12), gate)
    side = s.sign()
    turn = math.pi + side * s.uni(0.4, 0.9)
    heart = body.part(s.uni(-0.2, -0.05), side * s.uni(0.02, 0.14), s.uni(0.54, 0.62), s.uni(0.43, 0.5), turn)
    _heart(s, heart)
    s.fill(body.part(0.5, -side * 0.1, 0.065, 0.065), FLUID_DB)
    spine(s, body, 0.95)


def _heart(s: Scene, heart: Oval) -> None:
    """Four dark chambers between a longitudinal septum and the valve cross."""
    s.fill(heart, s.uni(-19, -16))
    s.rim(heart, 0.03, 0.16)
    for p, a in ((0.34, 0.42), (-0.45, 0.31)):
        for side in (-1.0, 1.0):
            turn = -0.18 * side * math.copysign(1, p)
            s.fill(heart.part(p, 0.44 * side, a * s.uni(0.92, 1.05), s.uni(0.27, 0.33), turn), FLUID_DB)
    s.line(Shaft(*heart.at(0.1, 0), 0.75 * heart.a, 0.02, heart.theta), 0.22)
    s.line(Shaft(*heart.at(-0.1, 0), 0.6 * heart.b, 0.018, heart.theta + math.pi / 2), 0.26)


def femur(s: Scene) -> None:
    """One long bright shaft in its thigh, with shadow behind."""
    background(s, 0.75)
    half = s.uni(0.36, 0.68)
    wild = s.rng.random() < 0.25
    theta = s.uni(-1.1, 1.1) if wild else s.uni(-0.4, 0.4)
    room = 0.9 - half
    shaft = Shaft(s.uni(-room, room), s.uni(-0.25, 0.3), half, s.uni(0.032, 0.05), theta, s.uni(-0.1, 0.06) * half * 2)
    thigh = Oval(shaft.cx, shaft.cy, half * s.uni(1.5, 2.2), s.uni(0.28, 0.45), theta)
    s.fill(thigh, s.uni(-27, -22), 2.5 * s.noise(20, 6))
    s.rim(thigh, 0.04, s.uni(0.12, 0.3))
    for q in (-0.5, 0.45):
        s.line(Shaft(*thigh.at(s.uni(-0.1, 0.1), q), half * 0.8, 0.008, theta + s.uni(-0.08, 0.08)), s.uni(0.06, 0.14))
    s.line(shaft, s.uni(0.95, 1.4), s.uni(14, 26))
    for end in (-1.0, 1.0):
        c, t = end * half, math.sin(theta)
        s.line(Oval(shaft.cx + c * math.cos(theta), shaft.cy + c * t, 0.05, 0.06, theta), s.uni(0.5, 0.9), 8.0)
    s.masks.append((1, shaft))
    s.unit_mm = s.uni(15, 36) / half


def other(s: Scene) -> None:
    """One of several views that belong to no standard plane."""
    kinds: tuple[Callable[[Scene], None], ...] = (_layers, _placenta, _profile, _kidneys, _limbs, _vessel)
    kinds[int(s.rng.integers(len(kinds)))](s)
    s.unit_mm = s.uni(30, 90)


def _layers(s: Scene) -> None:
    background(s, 0.0)
    tilt = s.uni(-0.3, 0.3)
    for depth in np.linspace(-0.8, 0.9, int(s.rng.integers(6, 11))):
        turn, bend = tilt + s.uni(-0.05, 0.05), s.uni(-0.15, 0.15)
        s.fill(Shaft(0, float(depth), 2.0, s.uni(0.04, 0.12), turn, bend), s.uni(-36, -16), 2.0 * s.noise(20, 5))
        s.line(Shaft(0, float(depth), 2.0, 0.01, turn, bend), s.uni(0.08, 0.3))


def _placenta(s: Scene) -> None:
    background(s, 0.3)
    s.fill(Oval(s.uni(-0.3, 0.3), s.uni(0.2, 0.6), 1.1, s.uni(0.4, 0.6), s.uni(-0.3, 0.3)), FLUID_DB)
    bed = Oval(s.uni(-0.4, 0.4), s.uni(-0.5, -0.2), 1.3, s.uni(0.3, 0.45), s.uni(-0.5, 0.5))
    s.fill(bed, -17, 2.5 * s.noise(16, 16))
    for _ in range(int(s.rng.integers(2, 6))):
        lake = bed.part(s.uni(-0.7, 0.7), s.uni(-0.6, 0.6), s.uni(0.05, 0.15), s.uni(0.03, 0.09), s.uni(-1, 1))
        s.fill(lake, FLUID_DB + 10)
    for _ in range(2):
        cord = Oval(s.uni(-0.6, 0.6), s.uni(0.25, 0.7), 0.09, 0.08)
        s.fill(cord, -22)
        s.fill(cord.part(0.4, 0.2, 0.35, 0.35), FLUID_DB)


def _profile(s: Scene) -> None:
    background(s, 0.0)
    s.fill(Oval(0, 0, 1.6, 1.2), FLUID_DB)
    face = Oval(s.uni(-0.1, 0.3), s.uni(0.1, 0.4), s.uni(0.55, 0.7), s.uni(0.4, 0.5), s.uni(-0.9, 0.9))
    side = s.sign()
    s.fill(face, -25, 3 * s.noise(12, 12))
    for p, size in ((-0.45, 0.16), (-0.1, 0.24), (0.22, 0.15), (0.42, 0.16), (0.68, 0.17)):
        bump = face.part(p, -0.95 * side * math.sqrt(1 - p * p), size, size * 0.8)
        s.fill(bump, -22)
        s.rim(bump, 0.03, s.uni(0.3, 0.5))
    arc = Shaft(*face.at(-0.4, -0.6 * side), 0.5 * face.a, 0.03, face.theta - 0.5 * side, -0.15 * side)
    s.line(arc, 0.9, 10.0)
    s.line(Shaft(*face.at(0.5, -0.4 * side), 0.15, 0.03, face.theta + 0.9), 0.7, 8.0)


def _kidneys(s: Scene) -> None:
    background(s, 0.2)
    tilt, gap = s.uni(-0.4, 0.4), s.uni(0.36, 0.46)
    frame = Oval(s.uni(-0.1, 0.1), s.uni(-0.1, 0.2), 1, 1, tilt)
    for side in (-1.0, 1.0):
        turn = math.pi / 2 + side * s.uni(0.1, 0.5)
        kidney = frame.part(side * gap, s.uni(-0.1, 0.1), s.uni(0.32, 0.4), s.uni(0.19, 0.25), turn)
        s.fill(kidney, -34, 2 * s.noise(12, 12))
        s.rim(kidney, 0.025, 0.3)
        s.fill(kidney.part(0, 0, 0.6, 0.3), -15, 2 * s.noise(16, 16))
        s.fill(kidney.part(0, 0, 0.4, 0.12), FLUID_DB)
    for k in range(6):
        s.line(Oval(*frame.at(s.uni(-0.02, 0.02), -0.75 + 0.3 * k), 0.05, 0.04), 0.7, 4.0)


def _limbs(s: Scene) -> None:
    background(s, 0.0)
    s.fill(Oval(0, 0.15, 1.4, 1.0), FLUID_DB + s.uni(0, 10))
    for _ in range(int(s.rng.integers(3, 6))):
        limb = Oval(s.uni(-0.75, 0.75), s.uni(-0.5, 0.8), s.uni(0.15, 0.27), s.uni(0.13, 0.2), s.uni(-2, 2))
        s.fill(limb, s.uni(-25, -19), 2 * s.noise(14, 14))
        s.rim(limb, 0.03, s.uni(0.2, 0.4))
        s.line(limb.part(0, 0.0, 0.3, 0.22), s.uni(0.7, 1.1), 9.0)


def _vessel(s: Scene) -> None:
    background(s, 0.0)
    tilt, bend, wide = s.uni(-0.35, 0.35), s.uni(-0.25, 0.25), s.uni(0.13, 0.25)
    tube = Shaft(s.uni(-0.2, 0.2), s.uni(-0.2, 0.3), 1.8, wide, tilt, bend)
    s.line(Shaft(tube.cx, tube.cy, 1.8, wide + 0.045, tilt, bend), s.uni(0.3, 0.5))
    s.fill(tube, FLUID_DB)
    s.fill(Shaft(s.uni(-0.2, 0.2), tube.cy + s.uni(0.5, 0.6), 1.8, 0.06, tilt, bend), s.uni(-40, -30))


def _symphysis_and_head(s: Scene) -> tuple[Oval, Oval, float]:
    """Symphysis and head that lie apart, with an angle of progression of 70 to 135 degrees."""
    around = np.linspace(0, 2 * math.pi, 32)
    for _ in range(1000):
        tilt, turn = math.radians(s.uni(-35, 20)), math.radians(s.uni(-105, -60))
        ps = Oval(s.uni(-0.42, -0.14), s.uni(-0.74, -0.54), s.uni(0.18, 0.28), s.uni(0.095, 0.14), tilt)
        head = Oval(s.uni(-0.05, 0.32), s.uni(0.05, 0.34), s.uni(0.54, 0.68), s.uni(0.44, 0.54), turn)
        aop = angle_of_progression(ps, head)
        outline = np.array([ps.at(math.cos(t), math.sin(t)) for t in around], np.float32)
        if 70 <= aop <= 135 and float(head.distance(outline[:, 0], outline[:, 1]).min()) > 0.03:
            return ps, head, aop
    raise RuntimeError("no symphysis and head with an angle of progression of 70 to 135 degrees in 1000 draws")


def intrapartum(s: Scene) -> float:
    """Transperineal view: symphysis (label 1), head (label 2); angle of progression, deg."""
    s.db += 2.5 * s.noise(16, 6) + 3.0 * s.noise(5, 4)
    ps, head, aop = _symphysis_and_head(s)
    for _ in range(4):
        turn, bend = s.uni(-0.3, 0.9), s.uni(-0.1, 0.1)
        s.line(Shaft(s.uni(-0.5, 0.5), s.uni(-0.8, 0.2), s.uni(0.3, 0.6), 0.012, turn, bend), s.uni(0.06, 0.2))
    s.fill(head, s.uni(-36, -31), 3.0 * s.noise(12, 12))
    for _ in range(7):
        place = head.at(s.uni(-0.6, 0.6), s.uni(-0.6, 0.6))
        s.line(Shaft(*place, s.uni(0.04, 0.12), 0.009, s.uni(-1, 1)), s.uni(0.06, 0.2))
    s.rim(head, 0.06, s.uni(0.8, 1.2), s.uni(2, 5))
    s.fill(ps, s.uni(-33, -28), 1.5 * s.noise(14, 14))
    s.rim(ps, 0.045, s.uni(0.45, 0.8), 1.0)
    s.masks += [(1, ps), (2, head)]
    s.unit_mm = s.uni(45, 58) / head.a
    return aop
