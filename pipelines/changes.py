"""What an arm or a generator says, laid over what its study says for all; and the place of what is wrong with it."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import ValidationError

from fulora.config import Config, Json, merged


def laid_over(kind: type[Config], common: object, said: object) -> object:
    """What is `said`, laid over a `common` config of a kind; as it stands where it is no mapping.

    Raises:
        ValidationError: `common` is no such config.
    """
    if not isinstance(said, Mapping):
        return said
    return merged(kind.model_validate(common).model_dump(), said)


def each_laid_over(
    values: dict[str, Json], key: str, lay: Callable[[object], object], default: object
) -> dict[str, object]:
    """The values of a study in which each entry under a key is laid over what all of them have in common.

    While that itself is wrong there are no entries, so that its errors are told once.

    Args:
        lay: lays one entry, as `laid_over` does.
        default: what stands there when nothing is said.
    """
    said = values.get(key, default)
    if not isinstance(said, Mapping):
        return dict(values)
    try:
        return {**values, key: {name: lay(one) for name, one in said.items()}}
    except ValidationError:
        return {**values, key: {}}


@contextmanager
def about(where: str) -> Iterator[None]:
    """Put a place in the config before what is wrong with a config that is made from it.

    Raises:
        ValueError: in place of the ValidationError.
    """
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"{where}: {'; '.join(_said(item) for item in error.errors())}") from error


def _said(item: object) -> str:
    assert isinstance(item, dict)
    path = ".".join(str(part) for part in item["loc"])
    message = str(item["msg"]).removeprefix("Value error, ")
    return f"{path}: {message}" if path else message
