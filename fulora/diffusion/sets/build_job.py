"""Build the job of a set from what a user names: weights, settings, a label set, images to start from."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from fulora import progress
from fulora.config import validated
from fulora.data.image import METADATA
from fulora.data.label_set import FILE as LABELS
from fulora.data.label_set import LabelSet, label_set, read_label_set, refuse_other_classes
from fulora.diffusion.config import Architecture
from fulora.diffusion.sampling.config import GenerateConfig, resolve_config
from fulora.diffusion.sampling.inputs import GenerationInputs, LoraSource, weights_digest
from fulora.diffusion.sampling.lora_usage import check_lora_usage, read_lora_usage
from fulora.diffusion.sampling.recipe import BackboneUsed
from fulora.diffusion.sets.job import PLAN, GenerationJob, is_complete
from fulora.diffusion.sets.shards import WORK

DEFAULT_LABELS = "fetal_planes"
"""The label set if none is named, and no input has one."""


def build_job(
    out: Path,
    settings: Mapping[str, Any],
    *,
    backbone: Path | str,
    backbone_name: str,
    revision: str | None = None,
    architecture: Architecture | None = None,
    loras: Sequence[LoraSource] = (),
    start: Path | None = None,
    labels: str | None = None,
) -> GenerationJob:
    """Return the job of a set; notes what the user should know of its inputs.

    Args:
        out: folder of the set; digests of a set that was begun are read from it.
        settings: of a `GenerateConfig`. Without an image size, that of the backbone is used; without a clip skip,
            that of a LoRA.
        backbone, revision, architecture, loras, start: as `GenerationInputs`.
        labels: name or file of a label set; by default that of the LoRAs or of `start`, or `DEFAULT_LABELS`.

    Raises:
        BackboneError, LoraError: if weights cannot be read or do not suit the settings.
        LabelSetError, ConfigError: if a label set or a class is unknown, or two inputs have different classes.
    """
    is_begun = (out / PLAN).is_file() and not is_complete(out)
    digest = weights_digest(backbone, revision, cache=out / WORK / "digests.json" if is_begun else None)
    if isinstance(backbone, str) and revision is None:
        progress.note(f"{backbone}: no --revision is given; what the hub has under this name may change")
    inputs = GenerationInputs(
        backbone=backbone,
        used=BackboneUsed(name=backbone_name, digest=digest),
        revision=revision,
        architecture=architecture,
        loras=tuple(loras),
        start=None if start is None else _image_set(start),
    )
    for name in inputs.provenance().unknowns():
        progress.note(f"{name}: its training patients are unknown, so leaks from it cannot be detected")
    classes = choose_label_set(labels, [lora.path for lora in inputs.loras], inputs.start)
    return GenerationJob(out, resolve_config(_complete_settings(settings, inputs), classes), inputs, classes)


def _image_set(folder: Path) -> Path:
    if not (folder / "train" / METADATA).is_file():
        raise ValueError(
            f"--start {folder}: is no image set with training images; `fulora data curate FOLDER` makes one"
        )
    return folder.resolve()


def choose_label_set(named: str | None, loras: Sequence[Path], start: Path | None) -> LabelSet:
    """Return the label set that is named, or that of the LoRAs, of the images to start from, or `DEFAULT_LABELS`.

    Args:
        named: a shipped label set's name, or the path of a file.
        loras: files of LoRAs; those of fulora have their label set beside them, others suit any.

    Raises:
        LabelSetError, ConfigError: if there is no such label set, or two of them have different classes.
        DamagedFileError: if a file is not a label set.
    """
    sets = {} if named is None else {f"--labels {named}": label_set(named)}
    sets |= {f"the LoRA {path}": read_label_set(path.parent) for path in loras if (path.parent / LABELS).is_file()}
    if start is not None:
        sets[f"the images of --start {start}"] = read_label_set(start)
    if not sets:
        return label_set(DEFAULT_LABELS)
    (first, chosen), *others = sets.items()
    for other, labels in others:
        refuse_other_classes(chosen, labels, name=first, other_name=other)
    return chosen


def _complete_settings(settings: Mapping[str, Any], inputs: GenerationInputs) -> GenerateConfig:
    """The config with the size of the backbone and the clip skip of the LoRAs, where the settings have none."""
    values = dict(settings)
    if "image_size_px" not in values:
        values["image_size_px"] = inputs.native_size()
    usages = [read_lora_usage(lora.path) for lora in inputs.loras]
    clip_skips = [usage.clip_skip for usage in usages if usage.clip_skip]
    if clip_skips:
        values.setdefault("clip_skip", clip_skips[0])
    cfg = validated(GenerateConfig, values, where="settings")
    for lora, usage in zip(inputs.loras, usages, strict=True):
        check_lora_usage(lora.used.name, usage, cfg)
    return cfg
