"""Find classes whose captions are identical to a backbone, because its tokenizer does not know some letters."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import torch

from fulora.data.column_types import Plane
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import token_ids


def find_identical_captions(pipe: Pipeline, captions: Mapping[Plane, Collection[str]]) -> list[tuple[Plane, ...]]:
    """Return groups of classes whose captions have the same token ids in all tokenizers of a backbone.

    Raises:
        BackboneError: if a caption is too long.
    """
    tokenizers = [part for name in ("tokenizer", "tokenizer_2") if (part := getattr(pipe, name, None)) is not None]
    groups: dict[frozenset[tuple[int, ...]], list[Plane]] = defaultdict(list)
    for plane, texts in captions.items():
        ids = torch.cat([token_ids(tokenizer, sorted(texts)) for tokenizer in tokenizers], dim=1)
        groups[frozenset(map(tuple, ids.tolist()))].append(plane)
    return [tuple(planes) for planes in groups.values() if len(planes) > 1]


def describe_identical_captions(pipe: Pipeline, captions: Mapping[Plane, Collection[str]]) -> list[str]:
    """Describe each group of classes of `find_identical_captions`, one line each."""
    return [
        f"{', '.join(planes)} look the same to this backbone: its tokenizer reads their captions alike, such as "
        f"{min(captions[planes[0]])!r} and {min(captions[planes[1]])!r}. Give them captions of words and letters that "
        "it knows (in the label set, or prompts.CLASS=...), or take another backbone or one pre-trained on these images"
        for planes in find_identical_captions(pipe, captions)
    ]
