"""Backbones by the names that commands take: the embedded one, a path, or a hub id."""

from pathlib import Path

import fulora

ASSETS = Path(fulora.__file__).parent / "assets"
DEMO = "demo"
"""The name of the embedded backbone."""


def named_backbone(name: str) -> Path | str:
    """Return the folder or file of a backbone that a command names: the embedded one, or a path; else the hub id."""
    path = ASSETS / "diffusion" if name == DEMO else Path(name)
    return path if path.exists() else name
