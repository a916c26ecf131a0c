"""The file with the secret key of the patients' pseudonyms."""

from pathlib import Path

from fulora.intake.raw_image import SourceError

ADVICE = (
    "Create one with `python -c 'import secrets; print(secrets.token_hex(16))' > key.txt`, and store it apart "
    "from the data"
)


def read_key(path: Path | None) -> str:
    """Read the secret key of the patients' pseudonyms, one line.

    Raises:
        SourceError: if the file is missing, not text, or has several lines or fewer than 16 characters.
    """
    if path is None or not path.is_file():
        raise SourceError(f"{path}: no such file; it must hold the key of the pseudonyms. {ADVICE}")
    try:
        key = path.read_text(encoding="utf-8-sig").strip()
    except UnicodeDecodeError as error:
        raise SourceError(f"{path}: is not a text file; the key is one line of text. {ADVICE}") from error
    if len(key) < 16 or len(key.splitlines()) > 1:
        raise SourceError(
            f"{path}: holds {len(key)} characters in {len(key.splitlines())} lines; the key of the pseudonyms needs 16 "
            f"or more in one line. {ADVICE}"
        )
    return key
