"""The error of LoRAs."""


class LoraError(ValueError):
    """A LoRA file that cannot be used with a backbone, or a training that cannot work."""
