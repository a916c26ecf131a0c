"""U-Net segmentation of the fetal head and the pubic symphysis, with the papers' fine-tuning strategies."""
