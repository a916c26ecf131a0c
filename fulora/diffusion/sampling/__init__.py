"""Sampling: from a backbone, LoRAs and a config to images."""
