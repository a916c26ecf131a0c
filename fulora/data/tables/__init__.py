"""Tables of text: cells, column names, CSV and JSON lines."""
