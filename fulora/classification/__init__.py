"""Classifiers: networks trained on real, synthetic or mixed images, with equal steps in every arm."""
