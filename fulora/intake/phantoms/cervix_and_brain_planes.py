"""More anatomy of the ultrasound phantoms: the maternal cervix, and three standard planes of the brain.

As in `anatomy`, the number of random draws does not depend on the size of the image.
"""

import math

from fulora.intake.phantoms.anatomy import FLUID_DB, background, brain
from fulora.intake.phantoms.canvas import Oval, Scene, Shaft


def cervix(s: Scene) -> None:
    """Sagittal cervix: a canal (label 1) between two lips, from the fluid over its inner end to the vagina."""
    background(s, 0.0)
    side, half = s.sign(), s.uni(0.3, 0.48)
    tilt = side * s.uni(0.1, 0.6)
    canal = Shaft(s.uni(-0.12, 0.12), s.uni(-0.1, 0.15), half, s.uni(0.034, 0.05), tilt, s.uni(-0.05, 0.05))
    u, v = math.cos(tilt), math.sin(tilt)
    inner = (canal.cx - side * u * half, canal.cy - side * v * half)
    fluid = Oval(inner[0] - side * u * 0.42, inner[1] - side * v * 0.42, 0.44, s.uni(0.34, 0.5), tilt)
    s.fill(fluid, FLUID_DB + s.uni(0, 8))
    s.rim(fluid.grown(0.03), 0.04, s.uni(0.1, 0.25))
    head = fluid.part(-0.75, 0.0, 0.75, 0.7)
    s.rim(head, 0.06, s.uni(0.5, 0.9), 3.0)
    for across in (-1.0, 1.0):
        x, y = canal.cx - across * v * s.uni(0.16, 0.2), canal.cy + across * u * s.uni(0.16, 0.2)
        lip = Oval(x, y, half * s.uni(0.98, 1.1), s.uni(0.15, 0.2), tilt)
        s.fill(lip, s.uni(-27, -22), 2.0 * s.noise(14, 8))
        s.rim(lip, 0.025, s.uni(0.1, 0.2))
    wall = Shaft(canal.cx, canal.cy, half, canal.radius + 0.022, tilt, canal.bend)
    s.line(wall, s.uni(0.2, 0.3))
    s.fill(canal, s.uni(-52, -46))
    s.masks.append((1, canal))
    s.unit_mm = s.uni(12, 20) / half


def trans_cerebellum(s: Scene) -> Oval:
    """The head at the level of the cerebellum: two hemispheres and the cisterna magna at the back; label 1."""
    return brain(s, _cerebellum)


def trans_ventricular(s: Scene) -> Oval:
    """The head at the level of the lateral ventricles, with bright choroid plexus; label 1."""
    return brain(s, _ventricles)


def _front(s: Scene, head: Oval, behind: float) -> None:
    """The midline in front of `behind` (of the long axis), and the cavum septi pellucidi."""
    glow, thin = s.uni(0.22, 0.42), max(0.012, s.soft * 0.45)
    middle = (0.9 + behind) / 2
    s.line(Shaft(*head.at(middle, 0), (0.9 - behind) / 2 * head.a, thin, head.theta), glow)
    csp = Shaft(*head.at(0.45, 0), 0.1 * head.a, 0.085 * head.b, head.theta)
    s.line(Shaft(csp.cx, csp.cy, csp.half, csp.radius + 2.2 * thin, csp.theta), glow * 0.9)
    s.fill(csp, FLUID_DB)


def _cerebellum(s: Scene, head: Oval) -> None:
    s.fill(head.part(-0.78, 0.0, 0.16, 0.5), FLUID_DB)
    size = s.uni(0.24, 0.29)
    for side in (-1.0, 1.0):
        s.fill(head.part(0.0, 0.18 * side, 0.16, 0.12, 0.3 * side), -44.0)
        lobe = head.part(-0.52, 0.27 * side, size * 0.85, size * 1.15)
        s.fill(lobe, s.uni(-42, -38), 1.5 * s.noise(12, 12))
        s.rim(lobe, 0.03, s.uni(0.35, 0.55))
    s.fill(head.part(-0.5, 0.0, 0.1, 0.12), s.uni(-20, -16))
    _front(s, head, -0.2)


def _ventricles(s: Scene, head: Oval) -> None:
    wide = s.uni(0.15, 0.2)
    for side in (-1.0, 1.0):
        s.fill(head.part(-0.3, 0.36 * side, 0.46, wide, -0.22 * side), FLUID_DB)
        s.fill(head.part(-0.22, 0.36 * side, 0.3, wide * 0.7, -0.22 * side), s.uni(-15, -12), 1.5 * s.noise(16, 16))
        s.fill(head.part(0.5, 0.22 * side, 0.16, 0.06, 0.4 * side), FLUID_DB)
    _front(s, head, -0.85)
