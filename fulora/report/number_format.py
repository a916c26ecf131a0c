"""Numbers in reports: a value and its interval, rounded to the digits that they support."""

import math

MAX_DECIMALS = 6
MISSING = "–"


def format_number(
    value: float, low: float | None = None, high: float | None = None, *, unit: str = "1"
) -> tuple[str, str]:
    """Format a value and its interval `[low, high]` ("" without one), with equal decimals.

    Three significant digits of the largest of the three, and at least two of the interval's width, so that an interval
    never collapses; a number without a unit that is at most 1, such as a proportion, has three decimals.
    """
    numbers = [value, *(bound for bound in (low, high) if bound is not None)]
    largest = max(abs(number) for number in numbers)
    decimals = 2 - _exponent(largest)
    if unit == "1" and largest <= 1:
        decimals = max(decimals, 3)
    if low is not None and high is not None and high > low:
        decimals = max(decimals, 1 - _exponent(high - low))
    texts = [_text(number, max(decimals, 0)) for number in numbers]
    if low is None and high is None:
        return texts[0], ""
    bounds = iter(texts[1:])
    return texts[0], "[" + ", ".join(MISSING if bound is None else next(bounds) for bound in (low, high)) + "]"


def _exponent(number: float) -> int:
    return math.floor(math.log10(abs(number))) if number else 0


def _text(number: float, decimals: int) -> str:
    text = f"{number:.{decimals}f}" if decimals <= MAX_DECIMALS else f"{number:.2e}"
    if float(text) == 0:
        text = text.removeprefix("-")
    return text.replace("-", "−")
