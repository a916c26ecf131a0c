"""Formats and precisions that LoRA files are written in."""

from typing import Literal

Format = Literal["diffusers", "kohya"]
Precision = Literal["fp32", "fp16"]
