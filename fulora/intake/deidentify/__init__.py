"""Removal of burned-in text and overlays, and the review of the result by a person."""
