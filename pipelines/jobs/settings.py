"""The settings of a job: those of a config's part, changed by what the user gives."""

from collections.abc import Mapping
from typing import Any

from fulora.config import ConfigError, merged, part, read_yaml
from pipelines.configs import config_path, shipped


def job_settings(section: str, config: str | None, settings: Mapping[str, Any] | None) -> dict[str, Any]:
    """Return the part `section` of a config, merged with `settings`, which count more. Nothing is validated yet.

    Args:
        section: `lora`, `generate`, ...: the key of the part in a study's YAML file.
        config: a shipped config's name, or the path of a .yaml file; None for the defaults alone.

    Raises:
        ConfigError: if there is no such config, or it lacks the part.
    """
    if config is None:
        return dict(settings or {})
    values = read_yaml(config_path(config), shipped())
    if section not in values:
        raise ConfigError(f"{config}: it has no `{section}:` part to take settings from")
    return merged(part(values, section, where=config), settings or {})
