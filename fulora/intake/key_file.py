"""The file with the secret that patients' pseudonyms are made with."""

from pathlib import Path

from fulora.intake.raw_image import SourceError

ADVICE = (
    "Make one with `python -c 'import secrets; print(secrets.token_hex(16))' > key.txt`, and keep it apart "
    "from the data"
)


def read_key(path: Path | None) -> str:
    """The secret that patients' pseudonyms are made with: the first line of a file.

    Raises:
        SourceError: no file, no text, several lines, or fewer than 16 characters.
    """
    if path is None or not path.is_file():
        raise SourceError(f"{path}: no such file; it should hold the key of the pseudonyms. {ADVICE}")
    try:
        key = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is no text; the key of the pseudonyms is one line of it. {ADVICE}") from error
    if len(key) < 16 or len(key.splitlines()) > 1:
        raise SourceError(
            f"{path}: holds {len(key)} characters in {len(key.splitlines())} lines; the key of the pseudonyms needs 16 "
            f"or more in one line. {ADVICE}"
        )
    return key
