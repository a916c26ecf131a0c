"""The choice of a device."""

import torch


def pick_device(name: str) -> torch.device:
    """Return the device called `name`; `auto` is a CUDA GPU if there is one, else the CPU.

    Raises:
        ValueError: if a GPU is requested and there is none, or torch cannot use the device.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} sees no GPU; use device=cpu or device=auto")
    try:
        return torch.empty(0, device=name).device
    except RuntimeError as error:
        raise ValueError(f"device={name}: torch cannot use it here; use device=auto, cpu or cuda") from error
