"""Phantoms: drawn anatomy, scanned by a simple model of ultrasound."""
