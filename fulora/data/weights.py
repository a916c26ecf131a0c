"""Typed folders of weights: `.safetensors`, the facts to rebuild the model, `metrics.jsonl`, and `provenance.json`."""

from dataclasses import dataclass

from fulora.stage import Artifact


@dataclass(frozen=True)
class Backbone(Artifact):
    """A Stable Diffusion in diffusers' layout."""


@dataclass(frozen=True)
class ClipWeights(Artifact):
    """A CLIP in open_clip's `local-dir` layout."""


@dataclass(frozen=True)
class LoraWeights(Artifact):
    """`lora.safetensors` (diffusers' key names, alpha kept), `metrics.jsonl`."""


@dataclass(frozen=True)
class ControlWeights(Artifact):
    """A ControlNet in diffusers' layout, `metrics.jsonl`."""


@dataclass(frozen=True)
class ClassifierWeights(Artifact):
    """`model.safetensors`, `model.json`, `metrics.jsonl`."""


@dataclass(frozen=True)
class UnetWeights(Artifact):
    """`model.safetensors`, `model.json`, `metrics.jsonl`."""


@dataclass(frozen=True)
class JudgeWeights(Artifact):
    """A classifier in each of the folders `0`, `1`, ..., and `folds.json`: which of them has not seen a patient."""
