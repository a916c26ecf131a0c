"""fulora: LoRA-made synthetic fetal ultrasound, and honest measurements of what it is worth."""

__version__ = "0.1.0"
