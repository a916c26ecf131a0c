"""The names of the published data sets that can be downloaded."""

from typing import Literal

DatasetName = Literal["fetal_planes", "african", "hc18", "psfhs"]
