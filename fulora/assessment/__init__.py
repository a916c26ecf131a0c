"""Whether synthetic images can be trusted: how near to real ones, how diverse, and whether they copy patients."""
