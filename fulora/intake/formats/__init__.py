"""Picture formats: PNG, MetaImage, NIfTI, decoded as 8-bit gray."""
