"""Stages: each a typed function that fills one folder. Heavy libraries are imported inside the functions."""
