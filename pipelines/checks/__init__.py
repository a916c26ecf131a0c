"""Checks of studies before anything is curated: of configs, lists, file names and file headers."""
