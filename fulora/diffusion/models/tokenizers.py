"""CLIP's byte-pair tokenizers: the published one, rebuilt offline, and small ones that know a few words."""

import gzip
import json
import re
import unicodedata
from collections.abc import Iterable, Sequence
from importlib.metadata import distribution
from pathlib import Path

from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTokenizer

MORE = (
    "plane standard synthetic image heart head skull spine stomach bone shaft pubic symphysis low high quality scan of "
    "the and"
)
"""Words that every small backbone knows besides those of its captions."""

PARTS = re.compile(r"[^\W\d_]+|\S")
"""Words of letters, digits and signs by themselves: about what CLIP's tokenizer takes apart before it merges."""

CAPTION_TOKENS = 32

CLIP_TOKENS = 77
CLIP_MERGES = 48_894
END = "<|endoftext|>"


def collect_words(captions: Iterable[str]) -> tuple[str, ...]:
    """Return the vocabulary of a small backbone: the words of its captions and of `MORE`, in alphabetical order."""
    texts = [unicodedata.normalize("NFC", text).lower() for text in (*captions, MORE)]
    return tuple(sorted({word for text in texts for word in PARTS.findall(text)}))


def build_tokenizer(folder: Path, words: Iterable[str]) -> CLIPTokenizer:
    """A CLIP byte-pair tokenizer that has `words` as one token each; any other text has smaller pieces.

    Merges of an earlier word come first, so a later word that has its pieces in the middle may stay in several. Letters
    beyond ASCII are known where `words` have them; elsewhere each is the unknown token (`END`).

    Written to `folder` as `vocab.json` and `merges.txt`.
    """
    written = [_as_bytes(word) for word in words]
    letters = [chr(code) for code in range(33, 127)]
    letters += sorted({letter for word in written for letter in word} - set(letters))
    merges: list[tuple[str, str]] = []
    for word in written:
        pieces = [*word[:-1], f"{word[-1]}</w>"]
        joined = pieces[0]
        for piece in pieces[1:]:
            merges.append((joined, piece))
            joined += piece
    return _written(folder, letters, list(dict.fromkeys(merges)), END, CAPTION_TOKENS)


def _as_bytes(word: str) -> str:
    """A word as byte-pair tokenizers write it: a character for each byte of its UTF-8."""
    return "".join(part for part, _ in ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(word))


def build_clip_tokenizer(folder: Path, pad: str = END) -> CLIPTokenizer:
    """CLIP's tokenizer of 49,408 tokens (Radford et al. 2021), from the merges that open_clip ships.

    Args:
        folder: `vocab.json` and `merges.txt` are written there.
        pad: what fills a text up to 77 tokens: `<|endoftext|>` for SD 1.x and SDXL's first, `!` for the others.
    """
    packed = distribution("open_clip_torch").locate_file("open_clip/bpe_simple_vocab_16e6.txt.gz")  # not imported: slow
    with gzip.open(str(packed), "rt", encoding="utf-8") as file:
        lines = file.read().splitlines()[1 : 1 + CLIP_MERGES]
    merges = [(first, second) for first, second in (line.split() for line in lines)]
    return _written(folder, sorted(ByteLevel.alphabet()), merges, pad, CLIP_TOKENS)


def _written(
    folder: Path, letters: Sequence[str], merges: Sequence[tuple[str, str]], pad: str, length: int
) -> CLIPTokenizer:
    """Ids: the letters, the letters that end a word, what the merges give, start and end of a text."""
    tokens = [*letters, *(f"{letter}</w>" for letter in letters), *("".join(pair) for pair in merges)]
    ids = {token: place for place, token in enumerate(dict.fromkeys([*tokens, "<|startoftext|>", END]))}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.json").write_text(json.dumps(ids))
    lines = [" ".join(pair) for pair in merges]
    (folder / "merges.txt").write_text("#version: 0.2\n" + "\n".join(lines) + "\n", encoding="utf-8")
    tokenizer: CLIPTokenizer = CLIPTokenizer.from_pretrained(folder, model_max_length=length, pad_token=pad)
    return tokenizer
