"""Masks from any tool: found, paired by name, decoded, and brought to one set of classes."""
