"""One module per source. Each reads a published layout and yields `RawImage`s, neither resized nor split."""
