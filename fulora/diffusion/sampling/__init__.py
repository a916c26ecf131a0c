"""Sampling: from a backbone, LoRAs and a recipe to pictures."""
