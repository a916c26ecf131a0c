"""TorchScript encoders are programs: they run only if the user trusts the very file."""

from collections.abc import Collection, Sequence
from pathlib import Path

from fulora.digests import file_digest

KIND = "torchscript:"


class UntrustedEncoderError(ValueError):
    """A TorchScript file that is not trusted."""


def torchscript_files(encoders: Sequence[str]) -> list[Path]:
    """Return the TorchScript files among names of encoders."""
    return [Path(name.removeprefix(KIND)) for name in encoders if name.startswith(KIND)]


def trusted_digests(encoders: Sequence[str]) -> tuple[str, ...]:
    """Return the SHA-256 digests of the TorchScript files among encoders, for `AssessConfig.trusted_encoders`."""
    return tuple(file_digest(file) for file in torchscript_files(encoders) if file.is_file())


def check_trusted(encoders: Sequence[str], trusted: Collection[str]) -> None:
    """Refuse untrusted TorchScript files before anything of them is loaded.

    Args:
        encoders: names as `fulora.assessment.encoders.load_encoder` takes them.
        trusted: SHA-256 digests of the TorchScript files that may run, as `sha256sum` prints them.

    Raises:
        UntrustedEncoderError: if a TorchScript file is not trusted, or is missing.
    """
    for file in torchscript_files(encoders):
        if not file.is_file():
            raise UntrustedEncoderError(f"{KIND}{file}: no such file; give the path of a TorchScript file")
        if (digest := file_digest(file)) not in trusted:
            raise UntrustedEncoderError(
                f"{file}: a TorchScript file is a program, and could write or overwrite any file of yours; fulora has "
                "not run it. If you trust where it comes from, give --trust-encoder, or in a config "
                f"assess.trusted_encoders: ['{digest}']"
            )
