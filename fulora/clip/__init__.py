"""CLIP models: pre-train a tiny one, load, fine-tune, and classify by prompts (zero-shot)."""
