"""Masks from any tool: found, paired by name, decoded, and mapped to one set of classes."""
