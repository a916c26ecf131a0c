"""True and false are no numbers: pydantic reads them as 1 and 0 where a field asks for a number, a config does not."""

from collections.abc import Iterator
from functools import cache
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel


class Boolean:
    """Stands for true or false in a field that takes neither: every type of value refuses it, and shows it so."""

    def __init__(self, value: bool) -> None:
        self.value = value

    def __repr__(self) -> str:
        return str(self.value)


def without_booleans(kind: type[BaseModel], values: dict[str, Any]) -> dict[str, Any]:
    """The values of a model's fields, with a `Boolean` for true or false in each field that takes none.

    Values of models inside are left to those models.
    """
    fields = kind.model_fields
    found = {
        name: _marked(value, _leaves(kind, name))
        for name, value in values.items()
        if type(value) in (bool, list, tuple, dict) and name in fields
    }
    return {**values, **found} if found else values


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
    """The types that a field is made of, such as `str` and `float` of `dict[str, float]`."""
    return tuple(_types_in(kind.model_fields[field].annotation))


def _types_in(annotation: Any) -> Iterator[Any]:
    """Of an annotation, and what stands beside a type in `Annotated`, which is no type and does no harm."""
    if get_origin(annotation) is Literal:
        yield from map(type, get_args(annotation))
    elif get_origin(annotation) is None:
        yield annotation
    else:
        for inner in get_args(annotation):
            yield from _types_in(inner)
