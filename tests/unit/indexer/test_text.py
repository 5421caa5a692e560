import random

import pytest

from indexer.models import load_encoder
from indexer.samples import sample_texts
from indexer.text import clean_canonicalize, clean_lower, clean_whitespace

CURIOUS = [
    "",
    " ",
    "ΣΑΣ ΟΔΟΣ",
    "İstanbul ǅ ﬁne",
    "schÃ¶n â€œquotedâ€\x9d",
    "&lt;b&gt;&amp;amp; &quot;x&quot;",
    "<end_of_text>",
    "a<end_of_text>b",
    "a!<end_of_text>b <START_OF_TEXT>",
    "don't we'll they're i've he'd 'tis",
    "犬が海岸を走る 狗 강아지",
    "👩‍👩‍👧 🏳️‍🌈 👍🏽",
    "a\tb\nc\r\nd\x00e\x1b[31mred\x1b[0m",
    "½ ² Ⅷ ٣ 10,000.50",
    "e\u0301 \u00e9 \u200b \ufeff",
    "word " * 200,
    "x" * 5000,
]


def strings(count: int) -> list[str]:
    """Random strings of words, signs, scripts and code points, always the same."""
    source = random.Random(7)
    alphabets = [
        "abcdefghijklmnopqrstuvwxyz ",
        "ABCXYZ abc0123456789.,;:!?'\"-_/()&#<>",
        "äöüßéèñçøåœ ÀÉÎÕÜ",
        "αβγδσςΣ жщЯя אבג ابت हिन्दी ไทย 日本語中文한국",
        "🙂🎉🐶👍🏽\u200d\ufe0f ™©€",
    ]
    made = []
    for number in range(count):
        alphabet = alphabets[number % len(alphabets)] + " " * (number % 7)
        made.append("".join(source.choices(alphabet, k=source.randint(0, 60))))
    return made


def test_ids_are_open_clips() -> None:
    open_clip = pytest.importorskip("open_clip")
    theirs = open_clip.get_tokenizer("ViT-B-32")
    ours = load_encoder().tokenizer  # type: ignore[attr-defined]
    for text in [*CURIOUS, *sample_texts(), *strings(5000)]:
        assert ours([text])[0].tolist() == theirs([text])[0].tolist(), text


def test_cleaning_is_open_clips() -> None:
    tokenizer = pytest.importorskip("open_clip.tokenizer")
    for text in [*CURIOUS, *strings(1000)]:
        assert clean_lower(text) == tokenizer._clean_lower(text)
        assert clean_whitespace(text) == tokenizer._clean_whitespace(text)
        assert clean_canonicalize(text) == tokenizer._clean_canonicalize(text)


def test_cut_ids_are_the_whole_ones_without_padding() -> None:
    tokenizer = load_encoder().tokenizer  # type: ignore[attr-defined]
    texts = ["a dog", "a very long dog " * 3]
    cut, whole = tokenizer(texts, cut=True), tokenizer(texts)
    assert cut.shape[1] < whole.shape[1] == 77
    assert (whole[:, : cut.shape[1]] == cut).all()
    assert not whole[:, cut.shape[1] :].any()


def test_bytes_of_a_command_line_that_are_no_text_become_question_marks() -> None:
    tokenizer = load_encoder().tokenizer  # type: ignore[attr-defined]
    assert tokenizer.encode("caf\udce9") == tokenizer.encode("caf?")
