"""Configs: immutable, fully validated before anything runs, and the identity that names an artifact.

A YAML file names its study, may extend one other file (`base:`), and is changed from the command line by dotted
overrides (`lora.rank=8`). All errors of a config are reported at once, each with its path.
"""

import difflib
import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Self, TypeVar, Union, get_args, get_origin

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from fulora.booleans import without_booleans
from fulora.plain_yaml import MAX_CHARACTERS, MAX_DEPTH, PlainYamlError, load_yaml

C = TypeVar("C", bound=BaseModel)

MAX_SHOWN_CHARACTERS = 200
"""Of a value in a message."""

MAX_SHOWN_ERRORS = 50
"""Of a config in a message."""

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


class ConfigError(ValueError):
    """An invalid config. The message lists all errors, one a line."""


LARGEST = {"_px": 16_384, "rank": 4_096, "batch_size": 65_536, "seed": 2**64 - 1, "": 10**9}
"""The largest integer of a field, by the end of its name; a larger one needs too much memory or time."""

LARGEST_REAL = 1e15
"""The largest absolute value of a float: results of larger ones overflow, or are lost in rounding."""


class Config(BaseModel):
    """Base of all configs: immutable, without unknown keys; numbers are finite, within `LARGEST`, and not booleans."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _refuse_booleans_as_numbers(cls, values: Any) -> Any:
        return without_booleans(cls, values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _check_limits(self) -> Self:
        for name, value in self.__dict__.items():
            # the smallest limit is tested first for speed: rows of image sets are configs too
            if type(value) is int and value > LARGEST["rank"]:
                largest = next(number for end, number in LARGEST.items() if name.endswith(end))
                if value > largest:
                    raise ValueError(f"{name} is {value}; the largest possible is {largest:,}")
            if type(value) is float and abs(value) > LARGEST_REAL:
                raise ValueError(f"{name} is {value}; the largest possible is {LARGEST_REAL:g}")
        return self

    def changed(self, **values: Any) -> Self:
        """Return a copy with other values of some fields, validated again.

        Raises:
            ValidationError: if the values do not fit together, or a field is unknown.
        """
        return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | values)


Runtime = Field(json_schema_extra={"runtime": True})
"""Marks a field that does not change results (a path, a device, a number of workers): it is not in the identity.

Use: `device: Annotated[str, Runtime] = "auto"`, in a config or among the arguments of a stage (`fulora.stage`).
"""


def is_runtime(config: type[BaseModel], field: str) -> bool:
    """Return whether `field` of `config` is marked `Runtime`."""
    extra = config.model_fields[field].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("runtime"))


def identity(value: object) -> Json:
    """Return the part of a config on which results depend: all resolved values, with defaults, but no runtime fields.

    Raises:
        TypeError: if a value has no stable JSON form.
    """
    if isinstance(value, BaseModel):
        kind = type(value)
        return {name: identity(getattr(value, name)) for name in kind.model_fields if not is_runtime(kind, name)}
    if isinstance(value, Mapping):
        return {str(key): identity(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [identity(item) for item in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"a config value of type {type(value).__name__} has no stable JSON form: {value!r}")


def digest(value: Json) -> str:
    """Return the SHA-256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_yaml(path: Path, shipped: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """Read the mapping in a YAML file, merged over the file that its `base:` names.

    Args:
        shipped: files by name, to which a `base:` may refer, as to a file beside its own.

    Raises:
        ConfigError: if a file is missing, invalid YAML (`fulora.plain_yaml`) or no mapping, or if bases are circular.
    """
    return _read_yaml(path, shipped or {}, ())


def _read_yaml(path: Path, shipped: Mapping[str, Path], seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise ConfigError(f"configs build on each other in a circle: {' -> '.join(p.name for p in (*seen, path))}")
    try:
        loaded = load_yaml(_text(path))
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except PlainYamlError as error:
        raise ConfigError(f"{path}: not valid YAML: {error}") from error
    if not isinstance(loaded, dict):
        raise ConfigError(f"{path}: a config is a mapping of keys to values, this file holds a {type(loaded).__name__}")
    base = loaded.pop("base", None)
    if base is None:
        return loaded
    if not isinstance(base, str) or not base.isprintable():
        raise ConfigError(f"{path}: base is {_short(base)}; it must be the name of one config or file")
    beside = (path.parent / base).resolve()
    base_path = beside if beside.is_file() else shipped.get(base.removesuffix(".yaml"), beside)
    return merged(_read_yaml(base_path, shipped, (*seen, path)), loaded)


def _text(path: Path) -> str:
    if not path.is_file() and path.exists():
        raise ConfigError(f"{path}: cannot be read (not a file)")
    if path.stat().st_size > 4 * MAX_CHARACTERS:
        raise ConfigError(
            f"{path}: {path.stat().st_size:,} bytes; no config has more than {MAX_CHARACTERS:,} characters"
        )
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        line, wrong = error.object.count(b"\n", 0, error.start) + 1, f"0x{error.object[error.start]:02x}"
        raise ConfigError(
            f"{path}: not valid YAML: line {line}: byte {wrong} is not UTF-8; save it as UTF-8"
        ) from error


def merged(base: Mapping[str, Any], over: Mapping[str, Any]) -> dict[str, Any]:
    """Merge `over` into `base`: mappings are merged key by key, other values are replaced.

    A mapping of another `kind` replaces the whole mapping.
    """
    result = dict(base)
    for key, value in over.items():
        old = result.get(key)
        if isinstance(old, Mapping) and isinstance(value, Mapping):
            other = "kind" in old and value.get("kind", old["kind"]) != old["kind"]
            result[key] = value if other else merged(old, value)
        else:
            result[key] = value
    return result


def overridden(values: Mapping[str, Any], overrides: Sequence[str]) -> dict[str, Any]:
    """Apply dotted overrides such as `lora.rank=8`, whose values are read as YAML.

    Raises:
        ConfigError: if overrides have no `=` or an invalid value; the message lists them all.
    """
    changes: dict[str, Any] = {}
    errors = []
    for override in overrides:
        path, equals, text = override.partition("=")
        keys, shown = path.strip().split("."), _shortened(override)
        if not equals or not all(keys) or len(keys) > MAX_DEPTH:
            errors.append(f"{shown}: an override has the form key.sub=value, for example lora.rank=8")
            continue
        try:
            value = load_yaml(text)
        except PlainYamlError as error:
            what = f"quote it: {path}=\"'{text}'\"" if error.quotable and shown == override else str(error)
            errors.append(f"{shown}: the value after '=' is not valid YAML; {what}")
            continue
        for key in reversed(keys):
            value = {key: value}
        changes = merged(changes, value)
    if errors:
        raise ConfigError("\n".join(errors))
    return merged(values, changes)


def part(values: Mapping[str, Any], key: str, *, where: str) -> dict[str, Any]:
    """Return the mapping under a key; an empty one if the key is missing.

    Raises:
        ConfigError: if the value is no mapping.
    """
    value = values.get(key, {})
    if not isinstance(value, Mapping):
        raise ConfigError(f"{where}: {key} is {_short(value)}; it must be a mapping of keys to values")
    return dict(value)


def validated(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """Validate `values` as a `kind`.

    Args:
        where: the source of the values, for the message.

    Raises:
        ConfigError: if values are invalid; a line for each has its path, value, what is allowed, the nearest known key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        causes = _causes(error)
        lines = [_explained(kind, item) for item in causes[:MAX_SHOWN_ERRORS]]
        lines += [f"... and {len(causes) - MAX_SHOWN_ERRORS} more"] if len(causes) > MAX_SHOWN_ERRORS else []
        plural = "errors" if len(causes) > 1 else "error"
        raise ConfigError(f"{where}: {len(causes)} {plural}\n" + "\n".join(f"  {line}" for line in lines)) from error


def _causes(error: ValidationError) -> list[Any]:
    """The errors, without those about a list or mapping that is too short only because its items are invalid."""
    errors = error.errors()
    return [
        item
        for item in errors
        if item["type"] != "too_short"
        or not any(other is not item and other["loc"][: len(item["loc"])] == item["loc"] for other in errors)
    ]


def _explained(kind: type[BaseModel], item: Any) -> str:
    path = ".".join(str(part) for part in item["loc"])
    if item["type"] == "extra_forbidden":
        known = sorted(_keys_beside(kind, item["loc"]))
        near = difflib.get_close_matches(str(item["loc"][-1]), known, n=1)
        hint = f"did you mean '{near[0]}'?" if near else f"known keys: {', '.join(known)}"
        return f"{path}: unknown key; {hint}"
    if item["type"] == "missing":
        return f"{path}: required, and not given"
    if not path:  # of several fields together: the value would be the whole config
        return str(item["msg"]).removeprefix("Value error, ")
    quote = "; quote it, so that it stays a text" if item["type"] == "string_type" else ""
    return f"{path}: {item['msg']} (given: {_short(item['input'])}){quote}"


def _short(value: object) -> str:
    return _shortened(repr(value))


def _shortened(text: str) -> str:
    return text if len(text) <= MAX_SHOWN_CHARACTERS else f"{text[:MAX_SHOWN_CHARACTERS]}..."


def _keys_beside(kind: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Names of the fields that are allowed where `location` points."""
    kinds = [kind]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        nested = [m for k in kinds if part in k.model_fields for m in _models_in(k.model_fields[part].annotation)]
        tagged = [k for k in kinds if "kind" in k.model_fields and k.model_fields["kind"].default == part]
        kinds = nested or tagged or kinds  # a union's tag is part of the location, not a field
    return {name for k in kinds for name in k.model_fields}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, list, tuple, dict):
        for inner in get_args(annotation):
            yield from _models_in(inner)
