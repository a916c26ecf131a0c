"""Types and defaults of settings in words."""

import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from fulora.config import Config

WORDS: dict[Any, str] = {
    bool: "true | false",
    int: "whole number",
    float: "number",
    str: "text",
    Path: "path",
    NoneType: "null",
    Any: "any",
    object: "any",
}
LIMITS = {"gt": "> {}", "ge": ">= {}", "lt": "< {}", "le": "<= {}", "multiple_of": "a multiple of {}"}


def describe_type(annotation: Any, constraints: Iterable[Any] = ()) -> str:
    """Describe the values that are allowed, such as `whole number >= 2` or `gray | rgb`.

    Args:
        constraints: of the value: pydantic's and annotated_types' limits.
    """
    limits = " and ".join(_limits(list(constraints)))
    if get_origin(annotation) in (Union, UnionType):  # null has no limits
        kinds = [kind for kind in get_args(annotation) if kind is not NoneType]
        limited = [" ".join(filter(None, (_describe(kind), limits))) for kind in kinds]
        return " | ".join(dict.fromkeys([*limited, *(["null"] if len(kinds) < len(get_args(annotation)) else [])]))
    return " ".join(filter(None, (_describe(annotation), limits)))


def _describe(annotation: Any) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe_type(arguments[0], _constraints(arguments[1:]))
    if origin is Literal:
        return " | ".join(map(_value, arguments))
    if origin in (Union, UnionType):
        return describe_type(annotation)
    if origin is tuple:
        if arguments[-1] is Ellipsis:
            return f"list of ({_describe(arguments[0])})"
        return f"[{', '.join(map(_describe, arguments))}]"
    if origin in (dict, Mapping) or (isinstance(origin, type) and issubclass(origin, Mapping)):
        return f"mapping of ({_describe(arguments[0])}) to ({_describe(arguments[1])})"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if expandable(annotation) is not None:
            return "mapping of the settings below"
        kind = annotation.model_fields.get("kind")
        return f"mapping with {', '.join(annotation.model_fields) if kind is None else f'kind={kind.default}'}"
    return WORDS.get(annotation, str(getattr(annotation, "__name__", annotation)))


def _constraints(metadata: Iterable[Any]) -> list[Any]:
    return [item for each in metadata for item in (each.metadata if isinstance(each, FieldInfo) else [each])]


def _limits(constraints: Sequence[Any]) -> list[str]:
    words = [
        text.format(_value(value))
        for constraint in constraints
        for name, text in LIMITS.items()
        if (value := getattr(constraint, name, None)) is not None
    ]
    patterns = [pattern for each in constraints if (pattern := getattr(each, "pattern", None))]
    return words + [f"like {pattern}" for pattern in patterns]


def expandable(annotation: Any) -> type[Config] | None:
    """Return the config of a field whose settings can be given one by one, as all have defaults; else None."""
    kinds = [kind for kind in (get_args(annotation) or (annotation,)) if kind is not NoneType]
    one = kinds[0] if len(kinds) == 1 else None
    if not (isinstance(one, type) and issubclass(one, Config)):
        return None
    return None if any(field.is_required() for field in one.model_fields.values()) else one


def describe_default(field: FieldInfo) -> str:
    """Describe the default of a field; `required` where there is none, "" for a config that is listed by itself."""
    if field.is_required():
        return "required"
    value = field.get_default(call_default_factory=True, validated_data={})
    return "" if isinstance(value, BaseModel) else _value(value)


def _value(value: Any) -> str:
    """A value as it is written in KEY=VALUE."""
    if isinstance(value, str) and value:
        return value
    if isinstance(value, Path):
        return str(value)
    if isinstance(value, list | tuple):
        return f"[{', '.join(map(_value, value))}]"
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value)
