"""Training: of a LoRA, of a small backbone, of a ControlNet; and the plan before it."""
