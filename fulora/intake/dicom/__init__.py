"""DICOM: reading images, and writing files back without names."""
