"""The top layer: stages, the studies that put them in order, and the command line."""
