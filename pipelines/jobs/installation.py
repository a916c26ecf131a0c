"""What is installed: Python, the libraries that fulora needs, and the extras that it can use."""

import platform
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path

from packaging.requirements import Requirement

import fulora
from pipelines.jobs.machine import Finding

PURPOSES = {
    "ray": "--engine ray: studies and generation on a cluster",
    "optimizers": "lora train optimizer=adamw8bit and optimizer=prodigy",
    "export": "export --format webdataset and croissant",
    "text": "removal of burned-in text by a text detector",
    "dicom": "compressed DICOM files",
}
"""What each extra is for."""


def examine_installation() -> Iterator[Finding]:
    """Yield the versions of Python and of all libraries, and the extras that are missing."""
    yield Finding("versions", "fulora", fulora.__version__)
    yield Finding("versions", "python", platform.python_version())
    requirements = read_requirements()
    for requirement in requirements:
        if requirement.marker is None:
            yield _library(requirement)
    for extra, purpose in PURPOSES.items():
        wanted = [each for each in requirements if each.marker and each.marker.evaluate({"extra": extra})]
        missing = [each.name for each in wanted if not _version(each.name)]
        value = f"{', '.join(missing)} missing" if missing else "installed"
        advice = f"for {purpose}: pip install 'fulora[{extra}]'" if missing else ""
        yield Finding("extras", extra, value, "missing" if missing else "ok", advice)


def read_requirements() -> list[Requirement]:
    """Return what fulora needs, and what its extras need, by its metadata, or by the clone's `pyproject.toml`."""
    try:
        return [Requirement(text) for text in metadata.requires("fulora") or ()]
    except metadata.PackageNotFoundError:
        project = tomllib.loads((Path(fulora.__file__).parents[1] / "pyproject.toml").read_text("utf-8"))["project"]
        extras: dict[str, Sequence[str]] = project["optional-dependencies"]
        optional = [f"{text}; extra == '{extra}'" for extra, texts in extras.items() for text in texts]
        return [Requirement(text) for text in (*project["dependencies"], *optional)]


def _library(requirement: Requirement) -> Finding:
    version = _version(requirement.name)
    if not version:
        return Finding("versions", requirement.name, "missing", "broken", f"pip install '{requirement}'")
    if not requirement.specifier.contains(version, prereleases=True):
        return Finding("versions", requirement.name, version, "broken", f"too old: pip install '{requirement}'")
    return Finding("versions", requirement.name, version)


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""
