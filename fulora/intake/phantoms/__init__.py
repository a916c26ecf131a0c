"""Phantoms: synthetic anatomy, imaged by a simple model of ultrasound."""
