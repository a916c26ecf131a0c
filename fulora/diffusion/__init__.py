"""Latent diffusion: backbones, their pre-training, LoRA fine-tuning, sampling."""
