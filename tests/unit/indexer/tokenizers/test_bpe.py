from random import Random

import pytest

from indexer.bundles.samples import sample_texts
from indexer.errors import QueryError
from indexer.load import load_encoder
from indexer.tokenizers.bpe import clean_canonicalize, clean_lower, clean_whitespace
from support.texts import CURIOUS, strings


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


def test_undecodable_text_becomes_question_marks() -> None:
    tokenizer = load_encoder().tokenizer  # type: ignore[attr-defined]
    assert tokenizer.encode("caf\udce9") == tokenizer.encode("caf?")


def test_ids_of_long_words_are_open_clips() -> None:
    open_clip = pytest.importorskip("open_clip")
    theirs = open_clip.get_tokenizer("ViT-B-32")
    ours = load_encoder().tokenizer  # type: ignore[attr-defined]
    random = Random(0)
    for letters in (
        "a",
        "ab",
        "etaoinshrdlu",
        "a\u00e9\u65e5\u672c\U0001f642",
        "=-",
        "\u0445\u0430",
    ):
        for length in (70, 500, 2_000):
            word = "".join(random.choices(letters, k=length))
            assert ours([word])[0].tolist() == theirs([word])[0].tolist(), word


def test_all_ids_of_a_long_word_are_open_clips() -> None:
    open_clip = pytest.importorskip("open_clip")
    theirs = open_clip.tokenizer.SimpleTokenizer()
    ours = load_encoder().tokenizer  # type: ignore[attr-defined]
    word = "".join(Random(1).choices("etaoinshrdlu", k=3_000))
    assert ours.encode(word) == theirs.encode(word)


def test_words_that_cannot_be_read_are_errors() -> None:
    tokenizer = load_encoder().tokenizer  # type: ignore[attr-defined]
    assert len(tokenizer.encode("a" * 120_000)) > 77
    assert tokenizer(["dog " * 1_000_000]).shape == (1, 77)
    with pytest.raises(QueryError, match="1,000,000 letters"):
        tokenizer(["a" * 1_000_000])
