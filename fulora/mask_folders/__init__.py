"""Folders of masks: predicted for pictures, measured, and scored against references."""
