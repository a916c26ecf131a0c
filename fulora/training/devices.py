"""Which device a computation runs on."""

import torch


def pick_device(name: str) -> torch.device:
    """The device called `name`; `auto` is a CUDA GPU where there is one, else the CPU.

    Raises:
        ValueError: a GPU was asked for and there is none, or a device that torch does not know or cannot use.
    """
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    if name.startswith("cuda") and not torch.cuda.is_available():
        raise ValueError(f"device={name}: torch {torch.__version__} sees no GPU; use device=cpu or device=auto")
    try:
        return torch.empty(0, device=name).device
    except RuntimeError as error:
        raise ValueError(f"device={name}: torch cannot use it here; use device=auto, cpu or cuda") from error
