"""What would stop a study late, found before anything is curated: from configs, lists, file names and headers."""
