"""Backbones: architectures, loading, tokenizers, conditioning, noise schedules."""
