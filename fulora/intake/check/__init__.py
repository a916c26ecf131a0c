"""Checks of a folder before anything is trained on it: leaks, duplicates, lists."""
