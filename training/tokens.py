"""Text to tokens without a library: the byte-level BPE of the app's tokenizer.json, for ASCII text."""

import json
import re
from functools import cache
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
MODEL = ROOT / "public/models/fairy-tale-gpt"
END_OF_TEXT = 0
SEPARATOR = "\n<|endoftext|>\n"

# GPT-2's split into words, as it reads for ASCII (there \p{L} is A-Z a-z and \p{N} is 0-9).
WORD = re.compile(r"'(?:s|t|re|ve|m|ll|d)| ?[A-Za-z]+| ?[0-9]+| ?[^\sA-Za-z0-9]+|\s+(?!\S)|\s+")
# The letters GPT-2 writes for the bytes space and line feed; every other byte of our text is its own letter.
LETTERS = str.maketrans({" ": "\u0120", "\n": "\u010a"})
BYTES = str.maketrans({"\u0120": " ", "\u010a": "\n"})


class Tokenizer:
    def __init__(self, path: Path = MODEL / "tokenizer.json"):
        model = json.loads(path.read_text(encoding="utf-8"))["model"]
        self.ids: dict[str, int] = model["vocab"]
        self.pieces = {id: piece for piece, id in self.ids.items()}
        self.ranks = {tuple(pair): rank for rank, pair in enumerate(model["merges"])}
        self.word = cache(self._word)

    def _word(self, word: str) -> tuple[int, ...]:
        """The merges in the order they were learned, all places of a pair at once."""
        parts = list(word.translate(LETTERS))
        while len(parts) > 1:
            pair = min(zip(parts, parts[1:]), key=lambda pair: self.ranks.get(pair, len(self.ranks)))
            if pair not in self.ranks:
                break
            merged, i = [], 0
            while i < len(parts):
                width = 2 if tuple(parts[i : i + 2]) == pair else 1
                merged.append("".join(parts[i : i + width]))
                i += width
            parts = merged
        return tuple(self.ids[part] for part in parts)

    def encode(self, text: str) -> list[int]:
        if not re.fullmatch(r"[\n -~]*", text):
            raise ValueError("Cannot encode the text: it holds something else than printable ASCII and line feeds")
        return [id for word in WORD.findall(text) for id in self.word(word)]

    def decode(self, ids: list[int]) -> str:
        return "".join(self.pieces[id] for id in ids).translate(BYTES)


def encode_tales(text: str, tokenizer: Tokenizer) -> np.ndarray:
    """Token stream [tokens] uint16 of tales parted by SEPARATOR, each after one END_OF_TEXT."""
    stream = [id for tale in text.split(SEPARATOR) for id in (END_OF_TEXT, *tokenizer.encode(tale))]
    return np.array(stream, dtype="<u2")
