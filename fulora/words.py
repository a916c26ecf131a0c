"""Numbers with their nouns, in the singular or the plural."""


def counted(count: int, noun: str, plural: str = "") -> str:
    """Return a number and its noun: `1 image`, `2 images`, `1,200 patients`.

    Args:
        plural: where it is not the noun and an s.
    """
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"
