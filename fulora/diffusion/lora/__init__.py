"""LoRA adapters and their files: names, reading, writing, metadata, inspection, cards."""
