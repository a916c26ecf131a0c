"""Shipped configs and the studies they can name."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from fulora.config import Config, ConfigError, overridden, read_yaml, validated
from fulora.stage import Artifact
from fulora.workspace import Workspace
from pipelines import assessment, curation, fu_lora, fu_lora_config, lora_training, pretraining, segmentation

HERE = Path(__file__).parent


class Study(NamedTuple):
    """A study: its config class and its function."""

    config: type[Any]
    run: Callable[[Any, Workspace], Artifact]


STUDIES = {
    "fu_lora": Study(fu_lora_config.FuLoraConfig, fu_lora.run),
    "segmentation": Study(segmentation.SegmentationStudyConfig, segmentation.run),
    "assessment": Study(assessment.AssessmentStudyConfig, assessment.run),
    "lora_training": Study(lora_training.LoraTrainingConfig, lora_training.run),
    "curation": Study(curation.CurationConfig, curation.run),
    "pretraining": Study(pretraining.PretrainingConfig, pretraining.run),
}


def configs_folder() -> Path:
    """Return the folder of the shipped configs: in the installed package, or at the top of a clone."""
    installed = HERE / "configs"
    return installed if installed.is_dir() else HERE.parent / "configs"


def shipped() -> dict[str, Path]:
    """Return the shipped configs by name, such as `demo` or `paper/fu_lora`."""
    root = configs_folder()
    return {path.relative_to(root).with_suffix("").as_posix(): path for path in sorted(root.rglob("*.yaml"))}


def config_path(name: str) -> Path:
    """Return the file of a shipped config's name, or of a path.

    Raises:
        ConfigError: if it is neither.
    """
    known = shipped()
    if name in known:
        return known[name]
    path = Path(name)
    if path.suffix in (".yaml", ".yml") and path.is_file():
        return path.resolve()
    raise ConfigError(f"{name}: no such config. Shipped: {', '.join(known)}; or give the path of a .yaml file")


def load(name: str, overrides: Sequence[str] = ()) -> tuple[Study, Config]:
    """Return a config, completely validated, and its study.

    Raises:
        ConfigError: with all errors of the config.
    """
    path = config_path(name)
    values = overridden(read_yaml(path, shipped()), overrides)
    study = values.get("study")
    if not isinstance(study, str) or study not in STUDIES:
        raise ConfigError(f"{path.name}: study: must be one of {', '.join(STUDIES)} (given: {study!r})")
    config: Config = validated(STUDIES[study].config, values, where=path.name)
    return STUDIES[study], config
