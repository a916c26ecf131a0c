"""Scores as pure functions on arrays: classification, statistics, segmentation, fidelity. Imports nothing of fulora."""
