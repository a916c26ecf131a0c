"""The published data sets: downloaded, checked, unpacked."""
