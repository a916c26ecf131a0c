"""The choice of a device, and named errors of devices that are missing or lack an operation."""

import re
from collections.abc import Iterator
from contextlib import contextmanager

import torch

MISSING_OPERATION = re.compile(
    r"operator '(?P<operation>[^']+)' is not currently (?:implemented|supported)[^.]*?the (?P<device>\w+) "
    r"(?:device|backend)"
    r"|Could not run '(?P<kernel>[^']+)' with arguments from the '(?P<backend>\w+)' backend"
)
"""What torch says where a device has no kernel for an operation."""
NO_DOUBLES = re.compile(r"float64.*(?P<device>MPS)|(?P<backend>MPS).*float64", re.DOTALL)


class DeviceError(ValueError):
    """A device that is missing, too small, or without an operation that a network needs."""


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is a CUDA GPU if there is one, else Apple's GPU (MPS), else the CPU.

    Raises:
        DeviceError: if a GPU is requested and there is none, or torch cannot use the device.
    """
    if name == "auto":
        return torch.device(_best())
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise DeviceError(f"device={name}: torch {torch.__version__} sees no GPU; use device=cpu or device=auto")
    try:
        return torch.empty(0, device=name).device
    except (RuntimeError, AssertionError) as error:
        raise DeviceError(f"device={name}: torch cannot use it here; use device=auto, cpu, cuda or mps") from error


def _best() -> str:
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def missing_operations_named() -> Iterator[None]:
    """Within the context, an operation that the device lacks is a `DeviceError` with a remedy.

    Raises:
        DeviceError: with the names of the operation and the device.
    """
    try:
        yield
    except (NotImplementedError, TypeError) as error:
        if operation := MISSING_OPERATION.search(str(error)):
            what, where = operation["operation"] or operation["kernel"], operation["device"] or operation["backend"]
        elif doubles := NO_DOUBLES.search(str(error)):
            what, where = "float64", doubles["device"] or doubles["backend"]
        else:
            raise
        raise DeviceError(
            f"device={where.lower()}: torch {torch.__version__} has no {what} there, which this network needs; use "
            "--device cpu (in a config: device=cpu)"
        ) from error


def is_out_of_memory(error: RuntimeError) -> bool:
    """Return whether a GPU had too little memory; torch has no class of its own for that on MPS."""
    return isinstance(error, torch.OutOfMemoryError) or "MPS backend out of memory" in str(error)
