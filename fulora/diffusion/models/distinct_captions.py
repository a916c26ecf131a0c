"""Whether a backbone can tell the classes apart: letters that its tokenizer does not know make captions alike."""

from collections import defaultdict
from collections.abc import Collection, Mapping

import torch

from fulora.data.labels import Plane
from fulora.diffusion.models.architectures import Pipeline
from fulora.diffusion.models.conditioning import token_ids


def find_identical_captions(pipe: Pipeline, captions: Mapping[Plane, Collection[str]]) -> list[tuple[Plane, ...]]:
    """The classes whose captions are the same to all tokenizers of a backbone, several a group.

    Raises:
        BackboneError: a caption is too long.
    """
    tokenizers = [found for name in ("tokenizer", "tokenizer_2") if (found := getattr(pipe, name, None)) is not None]
    groups: dict[frozenset[tuple[int, ...]], list[Plane]] = defaultdict(list)
    for plane, texts in captions.items():
        ids = torch.cat([token_ids(tokenizer, sorted(texts)) for tokenizer in tokenizers], dim=1)
        groups[frozenset(map(tuple, ids.tolist()))].append(plane)
    return [tuple(planes) for planes in groups.values() if len(planes) > 1]


def describe_identical_captions(pipe: Pipeline, captions: Mapping[Plane, Collection[str]]) -> list[str]:
    """A line for each group of classes that a backbone takes for one; none where it tells all apart.

    Raises:
        BackboneError: a caption is too long.
    """
    return [
        f"{', '.join(planes)} look the same to this backbone: its tokenizer reads their captions alike, such as "
        f"{min(captions[planes[0]])!r} and {min(captions[planes[1]])!r}. Give them captions of words and letters that "
        "it knows (in the label set, or prompts.CLASS=...), or take another backbone or one pre-trained on these images"
        for planes in find_identical_captions(pipe, captions)
    ]
