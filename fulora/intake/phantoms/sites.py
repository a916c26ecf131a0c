"""The simulated sites of the ultrasound phantoms: machines with their settings."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Site:
    """A site with its machine; a unit is half the image width.

    Attributes:
        dynamic_range_db: dB between black and white.
        lateral_deg, axial: sd of the point-spread function across the beam, degrees of beam angle, and along it, units.
        defocus: how much wider the beam is one unit away from the focus (factor minus 1).
        focus: focal depth below the transducer surface, units.
        attenuation_db: residual loss per unit of depth, dB, after compensation.
        tgc_db: extra time-gain slope per unit of depth, dB; amplifies noise as well.
        noise_db: receiver noise, dB re a bone echo, at the surface.
        bone_gain: factor on specular echoes (skull, shaft, ribs).
        shadow: factor on absorption behind bone.
        looks: number of compounded frames (more looks, less speckle).
        gamma: exponent of the grey map; above 1 darkens mid-tones.
        half_angle_deg: half opening angle of the sector.
        footprint: radius of the convex transducer surface, units.
    """

    name: str
    machine: str
    dynamic_range_db: float
    gain_db: float
    lateral_deg: float
    axial: float
    defocus: float
    focus: float
    attenuation_db: float
    tgc_db: float
    noise_db: float
    bone_gain: float
    shadow: float
    looks: int
    gamma: float
    half_angle_deg: float
    footprint: float


#                               DR  gain  lat  axial defoc focus att tgc noise bone shadow looks gamma half foot
_TABLE = (
    Site("base1", "mid-range convex", 60, -3, 0.9, 0.016, 0.5, 1.1, 2.0, 1, -66, 0.8, 1.0, 3, 1.30, 38, 0.9),
    Site("base2", "mid-range convex", 64, -4, 1.1, 0.018, 0.6, 0.9, 3.0, 2, -64, 0.75, 0.9, 3, 1.35, 41, 0.8),
    Site("base3", "older convex", 57, -2, 1.0, 0.020, 0.6, 1.2, 2.5, 1, -62, 0.9, 1.1, 2, 1.25, 36, 1.0),
    Site("A", "high-end convex", 49, -2, 0.5, 0.009, 0.3, 1.1, 1.0, 1, -72, 1.5, 1.3, 3, 1.20, 50, 2.4),
    Site("B", "portable", 50, 1, 1.5, 0.024, 0.7, 0.9, 5.0, 2, -46, 0.7, 0.8, 2, 1.15, 30, 0.6),
    Site("C", "low-cost convex", 76, -1, 1.1, 0.020, 0.5, 1.2, 2.0, 0, -54, 0.75, 0.7, 2, 2.10, 34, 1.3),
    Site("D", "hand-held phased array", 52, -2, 1.8, 0.020, 0.8, 0.9, 6.0, 4, -48, 0.9, 1.2, 2, 1.15, 41, 0.15),
)
SITES: Mapping[str, Site] = {site.name: site for site in _TABLE}
