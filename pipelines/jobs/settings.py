"""The settings of a job: keys, types, defaults and meanings, read from the configs and their docstrings."""

import difflib
import inspect
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from importlib import import_module
from typing import Any

from fulora.config import Config, is_runtime
from pipelines.jobs.setting_types import describe_default, describe_type, expandable

CONFIGS = {
    "lora": "fulora.diffusion.config:LoraConfig",
    "generate": "fulora.diffusion.sampling.config:GenerateConfig",
    "curate": "fulora.intake.config:CurateConfig",
    "mix": "fulora.data.hybrid:MixConfig",
    "card": "fulora.export.card:CardConfig",
    "zero-shot": "fulora.clip.config:ZeroShotConfig",
    "clip": "fulora.clip.config:TuneClipConfig",
    "probe": "fulora.clip.config:ProbeConfig",
    "forgetting": "fulora.clip.config:ForgettingConfig",
    "classify": "fulora.classification.config:ClassifierConfig",
    "assess": "fulora.assessment.config:AssessConfig",
    "closeness": "fulora.assessment.config:ClosenessConfig",
    "judge": "fulora.assessment.config:JudgeConfig",
    "score": "fulora.data.score:ScoreConfig",
    "unet": "fulora.segmentation.config:UnetConfig",
    "segment": "fulora.segmentation.config:SegmentConfig",
    "score-masks": "fulora.segmentation.scores:MaskScoreConfig",
    "additions": "fulora.segmentation.addition_config:AdditionConfig",
    "control": "fulora.diffusion.config:ControlConfig",
    "pretrain": "fulora.diffusion.config:PretrainConfig",
    "pretrain-clip": "fulora.clip.config:ClipPretrainConfig",
}
"""The config of each job, by the name that a user gives; those of sources are under their `kind`."""

ENTRY = re.compile(r" {4}(\w+(?:, \w+)*): (.*)")
"""The first line of an entry of `Attributes:`: one name or several, and what they mean."""


class UnknownSettingsError(ValueError):
    """Settings of a name that no job has."""


@dataclass(frozen=True)
class Setting:
    """One setting.

    Attributes:
        key: its dotted name, as in KEY=VALUE.
        type: what is allowed.
        default: the value that it has unless it is set; `required` where there is none.
        meaning: what it does.
        changes_results: False for a device, a path, or a number of workers.
    """

    key: str
    type: str
    default: str
    meaning: str
    changes_results: bool


@dataclass(frozen=True)
class Settings:
    """All settings of a job.

    Attributes:
        about: what the config is for, in a line.
    """

    name: str
    about: str
    rows: tuple[Setting, ...]

    def to_json(self) -> dict[str, Any]:
        """Return the settings as JSON values."""
        return {"name": self.name, "about": self.about, "settings": [asdict(row) for row in self.rows]}


def list_settings() -> dict[str, str]:
    """Return the names of all settings, each with what they are for, in a line."""
    return {name: _about(config) for name, config in _configs().items()}


def describe_settings(name: str) -> Settings:
    """Return the settings of a job, or of a kind of source, those of nested configs under dotted keys.

    Raises:
        UnknownSettingsError: if there are none of this name.
    """
    configs = _configs()
    if name not in configs:
        near = difflib.get_close_matches(name, configs, n=1)
        hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(configs)}"
        raise UnknownSettingsError(f"{name}: no such settings; {hint}")
    return Settings(name, _about(configs[name]), tuple(_rows(configs[name], "")))


def _configs() -> dict[str, type[Config]]:
    from fulora.intake.config import KINDS

    named: dict[str, type[Config]] = {}
    for name, place in CONFIGS.items():
        module, _, attribute = place.partition(":")
        named[name] = getattr(import_module(module), attribute)
    return {**named, **KINDS}


def _about(config: type[Config]) -> str:
    return inspect.cleandoc(config.__doc__ or "").partition("\n")[0]


def _rows(config: type[Config], prefix: str) -> Iterator[Setting]:
    meanings = read_meanings(config)
    for name, field in config.model_fields.items():
        if name == "kind":  # the name of the settings themselves
            continue
        yield Setting(
            key=prefix + name,
            type=describe_type(field.annotation, field.metadata),
            default=describe_default(field),
            meaning=meanings.get(name, ""),
            changes_results=not is_runtime(config, name),
        )
        if nested := expandable(field.annotation):
            yield from _rows(nested, f"{prefix}{name}.")


def read_meanings(config: type[Config]) -> Mapping[str, str]:
    """Return what each field means, by the `Attributes:` of the config's docstring and of those of its bases."""
    meanings: dict[str, str] = {}
    for kind in reversed(config.__mro__):
        if issubclass(kind, Config) and kind.__doc__ and "__doc__" in vars(kind):
            meanings |= _attributes(inspect.cleandoc(kind.__doc__))
    return meanings


def _attributes(docstring: str) -> dict[str, str]:
    """Return the entries of `Attributes:`, each text joined into one line."""
    texts: dict[str, list[str]] = {}
    names: list[str] = []
    for line in docstring.partition("\nAttributes:\n")[2].splitlines():
        if entry := ENTRY.fullmatch(line):
            names = entry[1].split(", ")
            texts |= {name: [entry[2]] for name in names}
        elif line.startswith(" " * 8):
            for name in names:
                texts[name].append(line.strip())
        else:
            break
    return {name: " ".join(lines) for name, lines in texts.items()}
