"""Settings of one arm or generator merged over the shared ones of its study, and the location of errors in them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from pydantic import ValidationError

from fulora.config import Config, Json, merged
from fulora.json_files import explained


def merge_over(kind: type[Config], common: object, changes: object) -> object:
    """Return a `common` config of a kind with `changes`, or `changes` alone if they are not a mapping.

    Raises:
        ValidationError: if `common` is not a valid config.
    """
    if not isinstance(changes, Mapping):
        return changes
    return merged(kind.model_validate(common).model_dump(), changes)


def merge_each_over(
    values: dict[str, Json], key: str, merge: Callable[[object], object], default: object
) -> dict[str, object]:
    """Return the values of a study with each entry under a key merged over the shared settings.

    If the shared settings are not valid, there are no entries, so that their errors are reported once.

    Args:
        merge: merges one entry, as `merge_over` does.
        default: the entries if the key is missing.
    """
    entries = values.get(key, default)
    if not isinstance(entries, Mapping):
        return dict(values)
    try:
        return {**values, key: {name: merge(entry) for name, entry in entries.items()}}
    except ValidationError:
        return {**values, key: {}}


@contextmanager
def locate_errors(where: str) -> Iterator[None]:
    """Prefix the errors of a derived config with the place in the study's config that it is derived from.

    Raises:
        ValueError: in place of a ValidationError.
    """
    try:
        yield
    except ValidationError as error:
        raise ValueError(f"{where}: {explained(error)}") from error
