"""Phrases without images, and variants of sentences, that the text tower learns from."""

import gzip
import random
import re
from collections.abc import Iterator

from .fetch import text
from .places import DATASETS, EXCLUDE, SEED
from .read import BY_NAME, COCO, article, clean, coco_captions
from .wordnet import WordNet

COLOURS = [
    "red",
    "blue",
    "green",
    "yellow",
    "black",
    "white",
    "brown",
    "orange",
    "pink",
    "purple",
    "grey",
    "golden",
    "silver",
    "beige",
]
COUNTS = [
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "several",
    "many",
    "a few",
    "a group of",
    "a crowd of",
    "a pair of",
]
PLACES = [
    "on a table",
    "on the grass",
    "in the snow",
    "on the beach",
    "in the street",
    "in a kitchen",
    "in a forest",
    "in the water",
    "on a sofa",
    "in front of a building",
    "under a tree",
    "on the floor",
    "in a field",
    "at night",
    "in the rain",
    "in the sunshine",
    "indoors",
    "outdoors",
    "against the sky",
    "on a white background",
]
STYLES = [
    "a photo of {}",
    "a sketch of {}",
    "a pencil drawing of {}",
    "a painting of {}",
    "an oil painting of {}",
    "a watercolour of {}",
    "a cartoon of {}",
    "a drawing of {}",
    "clip art of {}",
    "a black and white photo of {}",
    "a close-up of {}",
    "a statue of {}",
    "a toy {}",
    "a blurry photo of {}",
    "an old photo of {}",
    "a picture of {}",
    "{}",
    "an illustration of {}",
    "a line drawing of {}",
    "a logo with {}",
]
WHO = [
    "man",
    "woman",
    "boy",
    "girl",
    "child",
    "baby",
    "person",
    "dog",
    "cat",
    "horse",
    "couple",
    "group of people",
]
RELATIONS = [
    "next to",
    "behind",
    "in front of",
    "on top of",
    "under",
    "to the left of",
    "to the right of",
    "holding",
]

SWAPS = [
    COLOURS[:11],
    ["two", "three", "four", "five"],
    ["man", "woman", "boy", "girl"],
    ["men", "women", "boys", "girls"],
    ["left", "right"],
    ["dog", "cat", "horse"],
    ["sitting", "standing", "running", "jumping", "sleeping"],
    ["indoors", "outdoors"],
    ["day", "night"],
]
_SWAPPED = {word: group for group in SWAPS for word in group}


def styled(sentence: str, style: str) -> str:
    """Return a sentence as that of a sketch, a painting or a cartoon of the same."""
    bare = re.sub(r"^(a|the) (photo|picture|close-?up) of ", "", sentence, flags=re.I)
    return f"a {style} of {bare[:1].lower()}{bare[1:]}"


def swapped(sentence: str, generator: random.Random) -> str:
    """Return a sentence made wrong in one colour, number, person or the like; "" if it has none."""
    words = sentence.split()
    places = [at for at, word in enumerate(words) if word.lower().strip(",") in _SWAPPED]
    if not places:
        return ""
    at = generator.choice(places)
    word = words[at].lower().strip(",")
    words[at] = generator.choice([other for other in _SWAPPED[word] if other != word])
    return " ".join(words)


def phrases() -> Iterator[str]:
    """Yield the phrases that have no image, some of them more than once."""
    if "flickr30k_text" not in EXCLUDE:
        with gzip.open(DATASETS / "captions" / "flickr30k_without_flickr8k.txt.gz", "rt") as lines:
            yield from map(clean, lines)
    for captions in coco_captions().values():
        yield from captions
    if "cc_text" not in EXCLUDE:
        for line in text(BY_NAME["cc_text"], "Validation_GCC-1.1.0-Validation.tsv").splitlines():
            yield clean(line.split("\t")[0])
    generator = random.Random(f"{SEED} phrases")
    if "wordnet" not in EXCLUDE:
        yield from _wordnet(generator)
    yield from _templates(generator)


def _wordnet(generator: random.Random) -> Iterator[str]:
    wordnet = WordNet()
    for part in ("noun", "verb", "adj"):
        for synset in wordnet.synsets(part):
            for lemma in synset.lemmas[:3]:
                if part == "noun" and generator.random() < 0.7:
                    yield generator.choice(STYLES[:1] * 10 + STYLES).format(article(lemma))
                elif part != "noun" or generator.random() < 0.4:
                    yield lemma
            if len(synset.gloss.split()) <= 14 and generator.random() < 0.35:
                yield synset.gloss
            yield from synset.examples[:1]


def _templates(generator: random.Random) -> Iterator[str]:
    common = [name for name in COCO if name != "person"] + WHO + _common_nouns()
    for _ in range(70_000):
        noun = generator.choice(common)
        other = generator.choice(common)
        colour = generator.choice(COLOURS)
        kind = generator.randrange(7)
        if kind == 0:
            yield generator.choice(STYLES).format(article(noun))
        elif kind == 1:
            yield generator.choice(("a {} {}", "the {} {}", "a photo of a {} {}")).format(
                colour, noun
            )
        elif kind == 2:
            yield f"{generator.choice(COUNTS)} {noun}s"
        elif kind == 3:
            yield f"{article(noun)} {generator.choice(PLACES)}"
        elif kind == 4:
            yield f"{article(noun)} {generator.choice(RELATIONS)} {article(other)}"
        elif kind == 5:
            yield f"a {colour} {noun} and a {generator.choice(COLOURS)} {other}"
        else:
            yield generator.choice(STYLES).format(f"a {colour} {noun} {generator.choice(PLACES)}")


def _common_nouns() -> list[str]:
    """Return single-word nouns that name common things, by their many senses in WordNet."""
    if "wordnet" in EXCLUDE:
        return []
    counts: dict[str, int] = {}
    for synset in WordNet().synsets("noun"):
        for lemma in synset.lemmas:
            if lemma.isalpha() and lemma.islower() and 2 < len(lemma) < 12:
                counts[lemma] = counts.get(lemma, 0) + 1
    return sorted(word for word, count in counts.items() if count >= 3)
