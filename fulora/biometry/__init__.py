"""Measurements from masks as pure functions: head circumference and angle of progression. No torch."""
