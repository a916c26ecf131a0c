"""Curation: sources in, an image set with splits out."""
