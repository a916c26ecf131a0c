"""A generated set on disk: jobs, shards, and images generated again from their recipes."""
