"""Image sets in the formats that other tools read."""
