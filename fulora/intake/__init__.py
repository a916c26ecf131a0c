"""Intake of public data sets, hospital folders and phantoms into curated image sets."""
