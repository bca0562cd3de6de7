"""Project Gutenberg's plain-text books to train.txt, validation.txt, validation.bin and calibration.bin.

    python training/corpus.py <folder of books> --out training/data

The books are `<number>.txt`, UTF-8, as https://www.gutenberg.org/cache/epub/<number>/pg<number>.txt gives them.
Hashes of the files the twins were trained on are checked at the end and told: an edition that Gutenberg has corrected
since gives another text.
"""

import argparse
import hashlib
import re
import unicodedata
from pathlib import Path

import numpy as np

from tokens import SEPARATOR, Tokenizer, encode_tales

# In the order of the corpus. Grimm, Andersen, Jacobs; then Lang's coloured Fairy Books.
BOOKS = {
    2591: "Grimms' Fairy Tales",
    1597: "Andersen's Fairy Tales",
    7439: "English Fairy Tales",
    503: "The Blue Fairy Book",
    540: "The Red Fairy Book",
    7277: "The Green Fairy Book",
    640: "The Yellow Fairy Book",
    5615: "The Pink Fairy Book",
    6746: "The Grey Fairy Book",
    641: "The Violet Fairy Book",
    2435: "The Crimson Fairy Book",
    3282: "The Brown Fairy Book",
    3027: "The Orange Fairy Book",
    27826: "The Olive Fairy Book",
    3454: "The Lilac Fairy Book",
}
SHA256 = {
    "train.txt": "39a4c885a2b8efe050f028d0af0eee7bc246594713484b77ed1e0bc49c8ab260",
    "validation.txt": "bf17d0ffb4693589c6394ad2cb15448f48c7849649a3676a99bb501bca377f6e",
    "validation.bin": "66d0e8459d71da2a42b91362ca7bc3787de66ab7358f8d8b3bff529a9b44fa6d",
    "calibration.bin": "d624e3fe3686c0aff22d6970f3c7938904449deef40949ef1afbc82a05551eef",
}

TITLE_LIMIT = 80  # characters; longer capitals are text
FRAGMENT_LIMIT = 25  # characters; shorter lines that end without a stop are dropped
TALE_MINIMUM = 600  # characters
HELD_OUT_SEED, HELD_OUT_SHARE = 0, 20  # one tale in 20 is held out
WINDOWS, WINDOW, WINDOW_STRIDE = 16, 256, 50_000  # calibration.bin

PUNCTUATION = {"\u2018\u2019": "'", "\u201c\u201d": '"', "\u2013": "-", "\u2014": "--", "\u2026": "..."}
PLAIN = str.maketrans({curly: plain for group, plain in PUNCTUATION.items() for curly in group})
BODY = re.compile(r"\*\*\* ?START OF.*?\*\*\*(.*?)\*\*\* ?END OF", re.S)
ASIDE = re.compile(r"\[(?:Illustration|Footnote)[^\]]*\]")
MARKUP = re.compile(r"[*#=|<>{}~^\\+@%/]|gutenberg|http|www\.|etext|produced by", re.I)  # "pretext" falls with "etext"


def to_ascii(text: str) -> str:
    """Curly quotes and dashes as ASCII, accents and everything else outside ASCII dropped."""
    plain = unicodedata.normalize("NFKD", text.translate(PLAIN))
    return plain.encode("ascii", "ignore").decode().replace("_", "")


def paragraphs(book: str) -> list[str]:
    """The paragraphs of a book on one line each, without Gutenberg's frame, asides and markup."""
    found = BODY.search(book)
    text = to_ascii(found[1] if found else book).replace("\r", "")
    parts = (" ".join(part.split()) for part in re.split(r"\n\s*\n", ASIDE.sub("", text)))
    return [part for part in parts if part and not MARKUP.search(part)]


def is_title(paragraph: str) -> bool:
    """A line of capitals, a chapter's "II" included."""
    return len(paragraph) <= TITLE_LIMIT and paragraph.isupper()


def is_fragment(paragraph: str) -> bool:
    return len(paragraph) < FRAGMENT_LIMIT and paragraph[-1] not in ".!?'\""


def tales(book: str) -> list[str]:
    """Tales of a book, a paragraph a line, parted where a title in capitals stood; the short ones are dropped."""
    found: list[list[str]] = [[]]
    for paragraph in paragraphs(book):
        if is_title(paragraph):
            found.append([])
        elif not is_fragment(paragraph):
            found[-1].append(paragraph)
    return [tale for tale in ("\n".join(tale) for tale in found) if len(tale) >= TALE_MINIMUM]


def split(all_tales: list[str]) -> tuple[list[str], list[str]]:
    """(training, held-out) tales, each in the books' order."""
    order = np.random.default_rng(HELD_OUT_SEED).permutation(len(all_tales))
    held_out = set(order[: len(all_tales) // HELD_OUT_SHARE].tolist())
    return (
        [tale for i, tale in enumerate(all_tales) if i not in held_out],
        [tale for i, tale in enumerate(all_tales) if i in held_out],
    )


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def corpus_files(train: str, validation: str) -> dict[str, bytes]:
    """The four files of a corpus by name, from its two texts."""
    tokenizer = Tokenizer()
    stream = encode_tales(train, tokenizer)
    windows = np.stack([stream[WINDOW_STRIDE * i :][:WINDOW] for i in range(WINDOWS)])
    return {
        "train.txt": train.encode(),
        "validation.txt": validation.encode(),
        "validation.bin": encode_tales(validation, tokenizer).tobytes(),
        "calibration.bin": windows.tobytes(),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("books", type=Path)
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent / "data")
    args = parser.parse_args()
    found = []
    for number, name in BOOKS.items():
        of_book = tales((args.books / f"{number}.txt").read_text(encoding="utf-8-sig"))
        print(f"{number:>5} {name}: {len(of_book)} tales")
        found += of_book
    train, validation = split(found)
    args.out.mkdir(parents=True, exist_ok=True)
    for name, data in corpus_files(SEPARATOR.join(train), SEPARATOR.join(validation)).items():
        (args.out / name).write_bytes(data)
        same = sha256(data) == SHA256[name]
        print(f"{name}: {len(data)} bytes, {'the same as' if same else 'NOT the same as'} the twins were trained on")


if __name__ == "__main__":
    main()
