"""Booleans are refused in numeric fields of configs, where pydantic would read them as 1 and 0."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel


class Boolean:
    """Replaces a boolean in a field that takes none: every type refuses it, and messages show it as True or False."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __repr__(self) -> str:
        return str(self.value)


def without_booleans(kind: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """Return the values of a model's fields, with a `Boolean` in place of each boolean in a field that takes none.

    Nested models check their own values.
    """
    fields = kind.model_fields
    marked = {
        name: _marked(value, _leaves(kind, name))
        for name, value in values.items()
        if type(value) in (bool, list, tuple, dict) and name in fields
    }
    return {**values, **marked} if marked else values


def _marked(value: Any, leaves: tuple[Any, ...]) -> Any:
    if type(value) is bool:
        return value if any(leaf in (bool, object, Any) for leaf in leaves) else Boolean(value)
    if type(value) in (list, tuple):
        return type(value)(_marked(item, leaves) for item in value)
    if type(value) is dict and not any(isinstance(leaf, type) and issubclass(leaf, BaseModel) for leaf in leaves):
        return {key: _marked(item, leaves) for key, item in value.items()}
    return value


@cache
def _leaves(kind: type[BaseModel], field: str) -> tuple[Any, ...]:
    """The types in a field's annotation, such as `str` and `float` of `dict[str, float]`."""
    return tuple(_types_in(kind.model_fields[field].annotation))


def _types_in(annotation: Any) -> Iterator[Any]:
    """All types in an annotation; the metadata of `Annotated` is included, and has no effect."""
    if get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif get_origin(annotation) is None:
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _types_in(inner)
