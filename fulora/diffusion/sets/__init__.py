"""A generated set on disk: jobs, shards, and images drawn again from their recipes."""
