"""Conditioning of the UNet: caption embeddings and, for SDXL, pooled embeddings and image sizes."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor

from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.loading import BackboneError


@dataclass(frozen=True)
class Conditioning:
    """The embeddings of n captions; `pooled` only for SDXL."""

    states: Float[Tensor, "n tokens width"]
    pooled: Float[Tensor, "n pooled"] | None = None

    def at(self, places: Sequence[int]) -> "Conditioning":
        """Return the embeddings at `places`, in that order."""
        index = torch.tensor(places, device=self.states.device)
        return Conditioning(self.states[index], None if self.pooled is None else self.pooled[index])

    def followed_by(self, other: "Conditioning") -> "Conditioning":
        """Concatenate with other embeddings."""
        pooled = None if self.pooled is None or other.pooled is None else torch.cat([self.pooled, other.pooled])
        return Conditioning(torch.cat([self.states, other.states]), pooled)

    def to(self, target: torch.dtype | torch.device) -> "Conditioning":
        """Return the embeddings in another precision, or on another device."""
        return Conditioning(self.states.to(target), None if self.pooled is None else self.pooled.to(target))


def text_encoders(pipe: Pipeline) -> dict[str, torch.nn.Module]:
    """Return the pipeline's text encoders by name: one, or two for SDXL."""
    names = ("text_encoder", "text_encoder_2")
    return {name: module for name in names if (module := getattr(pipe, name, None)) is not None}


def token_ids(tokenizer: Any, texts: Sequence[str]) -> Int[Tensor, "n tokens"]:
    """Return token ids of texts, padded to the length that the text encoder reads.

    Raises:
        BackboneError: if a text is too long; it is never truncated.
    """
    limit = tokenizer.model_max_length
    for text in texts:
        length = len(tokenizer(text).input_ids)
        if length > limit:
            raise BackboneError(f"{text!r} has {length} tokens, the backbone reads {limit}; shorten it")
    ids: Tensor = tokenizer(list(texts), padding="max_length", max_length=limit, return_tensors="pt").input_ids
    return ids


def embed(pipe: Pipeline, captions: Sequence[str], clip_skip: int = 1) -> Conditioning:
    """Return embeddings of captions; each distinct caption is encoded once.

    Args:
        clip_skip: which layer of the text encoder, counted from the end: 1 is the last, 2 the one before it (kohya's
            count). SD 1.x and 2.x normalise it; SDXL, which always skips one more and never normalises, does not.

    Raises:
        BackboneError: if a text is too long, or the text encoder has too few layers.
    """
    distinct = sorted(set(captions))
    embeddings = _embed_xl(pipe, distinct, clip_skip) if _is_xl(pipe) else _embed_sd(pipe, distinct, clip_skip)
    return embeddings.at([distinct.index(caption) for caption in captions])


def describe_clip_skip(pipe: Pipeline, clip_skip: int) -> str:
    """Describe a clip skip above 1 with SDXL, which other tools ignore; "" for other backbones."""
    if clip_skip == 1 or not _is_xl(pipe):
        return ""
    return (
        f"clip_skip={clip_skip}: SDXL reads layer 2 from the end, and with this layer {clip_skip + 1}, as diffusers "
        f"does with clip_skip={clip_skip - 1}; AUTOMATIC1111 and kohya always read layer 2 (here clip_skip=1)"
    )


def _is_xl(pipe: Pipeline) -> bool:
    return getattr(pipe, "text_encoder_2", None) is not None


def _embed_sd(pipe: Pipeline, texts: Sequence[str], clip_skip: int) -> Conditioning:
    encoder = pipe.text_encoder
    ids = token_ids(pipe.tokenizer, texts).to(encoder.device)
    if clip_skip == 1:
        return Conditioning(encoder(ids)[0])
    hidden = _hidden(encoder(ids, output_hidden_states=True), clip_skip)
    return Conditioning(getattr(encoder, "text_model", encoder).final_layer_norm(hidden))


def _embed_xl(pipe: Pipeline, texts: Sequence[str], clip_skip: int) -> Conditioning:
    states = []
    for tokenizer, encoder in ((pipe.tokenizer, pipe.text_encoder), (pipe.tokenizer_2, pipe.text_encoder_2)):
        output = encoder(token_ids(tokenizer, texts).to(encoder.device), output_hidden_states=True)
        states.append(_hidden(output, clip_skip + 1))
    return Conditioning(torch.cat(states, dim=-1), output[0])


def _hidden(output: Any, from_the_end: int) -> Float[Tensor, "n tokens width"]:
    layers: tuple[Tensor, ...] = output.hidden_states
    if from_the_end >= len(layers):
        raise BackboneError(
            f"clip_skip asks for layer {from_the_end} from the end of a text encoder with {len(layers) - 1}: lower it"
        )
    return layers[-from_the_end]


def unet_arguments(conditioning: Conditioning, size_px: tuple[int, int]) -> dict[str, Any]:
    """Return the UNet's arguments besides latents and timesteps.

    Args:
        size_px: height and width of the pictures, which SDXL gets as original and target size, without cropping, in
            training and sampling.
    """
    arguments: dict[str, Any] = {"encoder_hidden_states": conditioning.states}
    if conditioning.pooled is not None:
        sizes = torch.tensor([*size_px, 0, 0, *size_px], device=conditioning.states.device)
        times = sizes.to(conditioning.states.dtype).expand(len(conditioning.states), -1)
        arguments["added_cond_kwargs"] = {"text_embeds": conditioning.pooled, "time_ids": times}
    return arguments
