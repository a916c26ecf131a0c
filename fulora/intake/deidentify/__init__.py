"""Burned-in text and overlays removed from pictures, and what a person needs to check the result."""
