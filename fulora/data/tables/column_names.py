"""Names of columns, whoever wrote them: case, blanks and punctuation do not count."""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence

from fulora.data.tables.cells import comparable_name


class HeaderError(ValueError):
    """Two columns of a table that have one name; says which."""


def rename_columns(
    header: Sequence[str], known: Collection[str], renamed: Mapping[str, str] | None = None
) -> list[str]:
    """A header in which a column that is known has its documented name: `Pixel Size (mm)` is `pixel size(mm)`.

    Args:
        known: the documented names; a column that is none of them keeps its own. Of names that differ in punctuation
            alone, each must be written as it is.
        renamed: further names that columns may have, and the documented ones that they get.

    Raises:
        HeaderError: two columns with one name.
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
                raise HeaderError(f"columns that stand twice: {name}; which one counts cannot be known")
            raise HeaderError(f"columns {' and '.join(map(repr, same))} are both {name}; give one")
    return found
