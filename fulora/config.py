"""Configs: frozen, validated whole before anything runs, and the identity that names an artifact.

A YAML file names its study, may build on one other file (`base:`), and is changed from the command line by dotted
overrides (`lora.rank=8`). Every error of a config is reported at once, each with its path.
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

LONGEST = 200
"""Characters of a value in a message."""

MOST = 50
"""Errors that a message lists."""

Json = str | int | float | bool | None | Sequence["Json"] | Mapping[str, "Json"]


class ConfigError(ValueError):
    """A config that cannot run. The message lists every error found, one a line."""


LARGEST = {"_px": 16_384, "rank": 4_096, "batch_size": 65_536, "seed": 2**64 - 1, "": 10**9}
"""The largest whole number of a field, by how its name ends: beyond it, memory or life ends before the run does."""


LARGEST_REAL = 1e15
"""Either way: what is computed from a larger one overflows, or is lost in rounding."""


class Config(BaseModel):
    """Base of every config: immutable, no unknown keys, numbers that are finite, within `LARGEST` and no booleans."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, protected_namespaces=())

    @model_validator(mode="before")
    @classmethod
    def _true_is_no_number(cls, values: Any) -> Any:
        return without_booleans(cls, values) if isinstance(values, dict) else values

    @model_validator(mode="after")
    def _possible(self) -> Self:
        for name, value in self.__dict__.items():
            if type(value) is int and value > LARGEST["rank"]:  # the least of them, as rows of sets are checked too
                largest = next(number for end, number in LARGEST.items() if name.endswith(end))
                if value > largest:
                    raise ValueError(f"{name} is {value}; the largest possible is {largest:,}")
            if type(value) is float and abs(value) > LARGEST_REAL:
                raise ValueError(f"{name} is {value}; the largest possible is {LARGEST_REAL:g}")
        return self

    def changed(self, **values: Any) -> Self:
        """This config with other values of some fields, validated again as a whole.

        Raises:
            ValidationError: the fields do not fit together any more, or one is unknown.
        """
        return type(self).model_validate({name: getattr(self, name) for name in type(self).model_fields} | values)


Runtime = Field(json_schema_extra={"runtime": True})
"""Marks a field that does not change a result (a path, a device, a number of workers): left out of the identity.

Use: `device: Annotated[str, Runtime] = "auto"`.
"""


def is_runtime(config: type[BaseModel], field: str) -> bool:
    """Whether `field` of `config` is marked `Runtime`."""
    extra = config.model_fields[field].json_schema_extra
    return isinstance(extra, dict) and bool(extra.get("runtime"))


def identity(value: object) -> Json:
    """The part of a config that its result depends on: every resolved value, defaults included, less runtime fields.

    Raises:
        TypeError: a value that has no stable JSON form.
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
    """SHA-256 of the canonical JSON of `value`, 64 hexadecimal digits."""
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def read_yaml(path: Path, shipped: Mapping[str, Path] | None = None) -> dict[str, Any]:
    """The mapping in a YAML file, merged over the file its `base:` names (one `base:` a file).

    Args:
        shipped: files by name, that a `base:` may name as well as a file beside its own.

    Raises:
        ConfigError: missing file, YAML that is invalid, too large or not finite (`fulora.plain_yaml`), a duplicate
            key, something other than a mapping, or a circle of bases.
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
    found = beside if beside.is_file() else shipped.get(base.removesuffix(".yaml"), beside)
    return merged(_read_yaml(found, shipped, (*seen, path)), loaded)


def _text(path: Path) -> str:
    """A regular file's text, if it is as short as configs are."""
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
    """`over` laid over `base`: mappings merge key by key, anything else is replaced.

    A mapping that names another `kind` is another thing, and replaces the old one whole.
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
    """`values` with dotted overrides such as `lora.rank=8` applied; a value is read as YAML.

    Raises:
        ConfigError: an override without `=` or with an unreadable value (all of them are listed).
    """
    laid: dict[str, Any] = {}
    errors = []
    for override in overrides:
        path, equals, text = override.partition("=")
        keys, shown = path.strip().split("."), override if len(override) <= LONGEST else f"{override[:LONGEST]}..."
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
        laid = merged(laid, value)
    if errors:
        raise ConfigError("\n".join(errors))
    return merged(values, laid)


def part(values: Mapping[str, Any], key: str, *, where: str) -> dict[str, Any]:
    """The mapping under a key; empty where the key is not there.

    Raises:
        ConfigError: something else stands there.
    """
    found = values.get(key, {})
    if not isinstance(found, Mapping):
        raise ConfigError(f"{where}: {key} is {_short(found)}; it must be a mapping of keys to values")
    return dict(found)


def validated(kind: type[C], values: Mapping[str, Any], *, where: str) -> C:
    """`values` as a `kind`.

    Args:
        where: what the values came from, for the message.

    Raises:
        ConfigError: everything that is wrong, one line each: path, value, what is allowed, the nearest known key.
    """
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        causes = _causes(error)
        lines = [_explained(kind, item) for item in causes[:MOST]]
        lines += [f"... and {len(causes) - MOST} more"] if len(causes) > MOST else []
        plural = "errors" if len(causes) > 1 else "error"
        raise ConfigError(f"{where}: {len(causes)} {plural}\n" + "\n".join(f"  {line}" for line in lines)) from error


def _causes(error: ValidationError) -> list[Any]:
    """The errors, less those about a list or mapping that is too short only because what is in it is wrong."""
    found = error.errors()
    return [
        item
        for item in found
        if item["type"] != "too_short"
        or not any(other is not item and other["loc"][: len(item["loc"])] == item["loc"] for other in found)
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
    if not path:  # of several fields together: the whole config is no value that helps
        return str(item["msg"]).removeprefix("Value error, ")
    quote = "; quote it, so that it stays a text" if item["type"] == "string_type" else ""
    return f"{path}: {item['msg']} (given: {_short(item['input'])}){quote}"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= LONGEST else f"{text[:LONGEST]}..."


def _keys_beside(kind: type[BaseModel], location: tuple[int | str, ...]) -> set[str]:
    """Names of the fields that are allowed where `location` points."""
    kinds = [kind]
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        found = [m for k in kinds if part in k.model_fields for m in _models_in(k.model_fields[part].annotation)]
        tagged = [k for k in kinds if "kind" in k.model_fields and k.model_fields["kind"].default == part]
        kinds = found or tagged or kinds  # a union's tag is part of the location, not a field
    return {name for k in kinds for name in k.model_fields}


def _models_in(annotation: object) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    elif get_origin(annotation) in (Union, UnionType, Annotated, list, tuple, dict):
        for inner in get_args(annotation):
            yield from _models_in(inner)
