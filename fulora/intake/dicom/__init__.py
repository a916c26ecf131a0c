"""DICOM: reading images, and writing de-identified copies."""
