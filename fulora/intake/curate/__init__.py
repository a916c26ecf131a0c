"""Curation: from sources to an image set with splits."""
