"""CLIP: pictures and words in one space. Pre-train a tiny one, load any, classify by prompts alone."""
