"""Matching of column names, ignoring case, blanks and punctuation."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from fulora.data.tables.cells import comparable_name


class HeaderError(ValueError):
    """Two columns of a table with the same name."""


def rename_columns(
    header: Sequence[str], known: Collection[str], renamed: Mapping[str, str] | None = None
) -> list[str]:
    """Return a header with the documented names of known columns: `Pixel Size (mm)` becomes `pixel size(mm)`.

    Args:
        known: the documented names; other columns keep their own. Documented names that differ in punctuation alone
            are matched exactly.
        renamed: further names of columns, and their documented ones.

    Raises:
        HeaderError: if two columns get the same name.
    """
    alike = Counter(comparable_name(name) for name in {*known})
    names = {
        comparable_name(name): name for name in known if comparable_name(name) and alike[comparable_name(name)] == 1
    } | {comparable_name(name): to for name, to in (renamed or {}).items()}
    exact = {*known}
    found = [name if name in exact else names.get(comparable_name(name), name) for name in header]
    for name in dict.fromkeys(found):
        same = [written for written, of in zip(header, found, strict=True) if of == name]
        if name and len(same) > 1:
            if len(set(same)) == 1:
                raise HeaderError(f"duplicate columns: {name}; which one counts cannot be known")
            raise HeaderError(f"columns {' and '.join(map(repr, same))} are both {name}; give one")
    return found
