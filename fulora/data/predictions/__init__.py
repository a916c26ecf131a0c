"""Tables of predictions from any tool: read, checked and brought to one order."""
