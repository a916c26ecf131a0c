"""The rows and sets that flow between stages."""
