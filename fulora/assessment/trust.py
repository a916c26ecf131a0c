"""TorchScript encoders are programs: they run only where somebody trusts that very file."""

import hashlib
from collections.abc import Collection, Sequence
from pathlib import Path

KIND = "torchscript:"


class UntrustedEncoderError(ValueError):
    """A TorchScript file that nobody said may run."""


def sha256_of(file: Path) -> str:
    """The SHA-256 of a file's content in hexadecimal digits, as `sha256sum` prints it."""
    with file.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def torchscript_files(encoders: Sequence[str]) -> list[Path]:
    """The files among names of encoders whose code would run."""
    return [Path(name.removeprefix(KIND)) for name in encoders if name.startswith(KIND)]


def check_trusted(encoders: Sequence[str], trusted: Collection[str]) -> None:
    """Nothing of a file is loaded before this.

    Args:
        encoders: names as `fulora.assessment.encoders.load_encoder` takes them.
        trusted: SHA-256 digests of the TorchScript files that may run.

    Raises:
        UntrustedEncoderError: a TorchScript file is not among the trusted ones, or is not there.
    """
    for file in torchscript_files(encoders):
        if not file.is_file():
            raise UntrustedEncoderError(f"{KIND}{file}: no such file; give the path of a TorchScript file")
        if (digest := sha256_of(file)) not in trusted:
            raise UntrustedEncoderError(
                f"{file}: a TorchScript file is a program, and could write or overwrite any file of yours; fulora has "
                "not run it. If you trust where it comes from, give --trust-encoder, or in a config "
                f"assess.trusted_encoders: ['{digest}']"
            )
