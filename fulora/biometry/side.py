"""The side of an image on which the inferior end of the symphysis lies."""

from typing import Literal

Side = Literal["right", "left"]
