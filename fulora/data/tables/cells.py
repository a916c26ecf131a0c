"""Cells of tables and values of JSON rows: missing values, and cleaning of whole columns.

Used for every list, table and metadata file, so that `NA` means the same in all of them.
"""

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

MISSING = frozenset(
    {"", "na", "n/a", "n.a.", "n.a", "<na>", "nan", "-nan", "+nan", "null", "<null>", "(null)", "none", "nat", r"\n"}
    | {"#n/a", "#na", "#n/a n/a", "#nv", "#n/d", "1.#ind", "-1.#ind", "1.#qnan", "-1.#qnan"}
    | {"#value!", "#ref!", "#div/0!", "#num!", "#name?", "#null!"}
    | {"-", "--", "---", "–", "—", ".", "..", "?"}
)
"""Spellings of a missing value, in lower case: R's, pandas', SQL's and spreadsheets', and marks that are typed."""

NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?", re.ASCII)
_DECIMAL_COMMA = re.compile(r"[+-]?(\d+,?\d*|,\d+)([eE][+-]?\d+)?", re.ASCII)
_WHOLE = re.compile(r"-?\d+(\.(0{1,2}|0{4,}))?", re.ASCII)
"""Whole numbers, also as floats. Not 1.000: it may be a thousand."""


class CleanRows(NamedTuple):
    """Rows whose missing values are "", and the changes.

    Attributes:
        missing: by column, numbers of missing cells by spelling; empty cells do not count.
        notes: messages on these and all other changes.
    """

    rows: list[dict[str, Any]]
    missing: Mapping[str, Counter[str]]
    notes: tuple[str, ...]


def is_missing(value: object) -> bool:
    """Whether a cell holds no value: None, NaN, an empty text, or a usual spelling such as `NA`, in any case."""
    if isinstance(value, float):
        return math.isnan(value)
    return value is None or (isinstance(value, str) and value.strip().casefold() in MISSING)


def comparable_name(name: str) -> str:
    """Return the letters and digits of a name, case-folded: `Pixel Size (mm)` and `pixel_size_mm` are equal."""
    return "".join(letter for letter in unicodedata.normalize("NFKC", name).casefold() if letter.isalnum())


def text_of(value: object) -> str:
    """Return a value as stripped text: None and NaN are "", the float 12.0 is "12"."""
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return str(value).strip()


def clean_rows(
    rows: Sequence[Mapping[str, Any]], columns: Collection[str] | None = None, decimal_commas: Collection[str] = ()
) -> CleanRows:
    """Return rows in which missing cells are "" and numbers are written uniformly.

    A column of whole numbers written as floats ("12.0", because another cell was NaN) gets its whole numbers back.

    Args:
        columns: of names rather than numbers, in which missing cells are replaced; None for all.
        decimal_commas: columns of measures in which, if every number is written like "0,25", the comma is decimal.
            None where commas separate cells. In a name or a count, "1,040" stays as it is.
    """
    found = [dict(row) for row in rows]
    missing: dict[str, Counter[str]] = {}
    commas, floats = [], []
    for column in dict.fromkeys(name for row in rows for name in row):
        those = [row for row in found if column in row]
        filled = [row for row in those if isinstance(row[column], str) and not is_missing(row[column])]
        texts = [row[column] for row in filled]
        commaed = column in decimal_commas and any("," in text for text in texts)
        if commaed and all(map(_DECIMAL_COMMA.fullmatch, texts)):
            commas.append(column)
            for row in filled:
                row[column] = row[column].replace(",", ".")
        if columns is None or column in columns:
            if any("." in text for text in texts) and all(map(_WHOLE.fullmatch, texts)):
                floats.append(column)
                for row in filled:
                    row[column] = row[column].partition(".")[0]
            empty = [row for row in those if is_missing(row[column])]
            spelled = Counter(str(row[column]).strip() for row in empty if row[column] not in ("", None))
            if spelled:
                missing[column] = spelled
            for row in empty:
                row[column] = ""
    changes = {
        "taken as missing": "; ".join(f"{column} {spellings(counts)}" for column, counts in missing.items()),
        "read with decimal commas": ", ".join(commas),
        "whole numbers written as floats, read without .0": ", ".join(floats),
    }
    return CleanRows(found, missing, tuple(f"{what}: {where}" for what, where in changes.items() if where))


def spellings(counts: Counter[str]) -> str:
    """Describe numbers of missing cells by spelling: `40 "NA", 2 "-"`."""
    return ", ".join(f'{count} "{spelling}"' for spelling, count in counts.most_common())
