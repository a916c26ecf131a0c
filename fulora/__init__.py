"""fulora: LoRA-made synthetic fetal ultrasound, and honest measurements of what it is worth.

    import fulora as fu

    real = fu.read_images("planes")

Every job of the command line is a function here, of the same name and with the same result. Nothing heavy is imported
before a function is used. `__init__.pyi` tells editors and type checkers the same.
"""

from importlib import import_module
from typing import Any

__version__ = "0.1.0"

JOBS = {
    "assess": "pipelines.jobs.assess",
    "checklist": "pipelines.jobs.checklist",
    "classify": "pipelines.jobs.classify",
    "generate": "pipelines.jobs.generate",
    "measure": "pipelines.jobs.measure",
    "mix": "pipelines.jobs.mix",
    "read_images": "pipelines.jobs.images",
    "score": "pipelines.jobs.score",
    "score_masks": "pipelines.jobs.score_masks",
    "segment": "pipelines.jobs.segment",
    "train_classifier": "pipelines.jobs.train_classifier",
    "train_lora": "pipelines.jobs.train_lora",
    "train_unet": "pipelines.jobs.train_unet",
    "tune_clip": "pipelines.jobs.tune_clip",
    "zero_shot": "pipelines.jobs.zero_shot",
}
"""The module of each function."""

__all__ = ["__version__", *JOBS]


def __getattr__(name: str) -> Any:
    if name not in JOBS:
        raise AttributeError(f"module 'fulora' has no attribute {name!r}; its jobs are {', '.join(sorted(JOBS))}")
    return getattr(import_module(JOBS[name]), name)


def __dir__() -> list[str]:
    return sorted([*globals(), *JOBS])
