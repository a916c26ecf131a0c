"""The command line, a short file a group of commands."""
