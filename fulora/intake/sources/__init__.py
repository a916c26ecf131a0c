"""One file a source. Each reads a published layout and yields `RawImage`s; nothing is resized or split here."""
