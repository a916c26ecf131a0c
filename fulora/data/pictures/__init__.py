"""Picture files and their pixels: decoding, digests, marks, resizing, near duplicates."""
