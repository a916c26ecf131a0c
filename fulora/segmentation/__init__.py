"""Segmentation of the fetal head and the pubic symphysis by U-Nets, with the papers' fine-tuning strategies."""
