"""The choice of a model by published figures."""

import pytest

from indexer.bundles.published import LANGUAGES, PUBLISHED
from indexer.bundles.recommended import (
    DEFAULT,
    ENGLISH_DEFAULT,
    default_for,
    licence_of,
    mean_recall,
    parse_languages,
    rank,
    recommended,
)
from indexer.errors import ModelNotFound


def test_figures_are_whole() -> None:
    assert len(LANGUAGES) == 36
    for one in PUBLISHED:
        assert one.name.startswith("immich-app/")
        assert one.recall.keys() <= LANGUAGES.keys()
        assert all(20 <= figure <= 100 for figure in one.recall.values())
    assert all(any(code in one.recall for one in PUBLISHED) for code in LANGUAGES)


def test_only_models_with_a_figure_for_each_language_are_ranked() -> None:
    both = rank(["zh", "de"])
    assert ENGLISH_DEFAULT in [one.name for one in rank(["de"])]
    assert ENGLISH_DEFAULT not in [one.name for one in both]
    means = [mean_recall(one, ["zh", "de"]) for one in both]
    assert means == sorted(means, reverse=True)
    assert both[0].recall["zh"] == 77.49


def test_each_default_is_there_once() -> None:
    assert sorted(filter(None, map(default_for, PUBLISHED))) == ["English", "other languages"]
    assert recommended("recommended") == recommended("recommended", "en") == ENGLISH_DEFAULT
    assert recommended("recommended", "de, ZH-tw") == recommended("recommended", "en,de") == DEFAULT
    assert recommended("pocket") == "pocket"


def test_codes_are_read_however_they_are_written() -> None:
    assert parse_languages(None) == ["en"]
    assert parse_languages("pt-BR,nb, DE ,de") == ["pt", "no", "de"]


@pytest.mark.parametrize(
    ("languages", "said"),
    [("xx", "no figures are published for the language 'xx'"), ("de,", "the language ''"),
     ("te", "choose one by name from `clipdex models recommend --languages te`")],
)  # fmt: skip
def test_what_nothing_is_known_of_is_refused(languages: str, said: str) -> None:
    with pytest.raises(ModelNotFound, match=said):
        recommended("recommended", languages)


def test_a_budget_that_is_too_small_names_the_smallest() -> None:
    assert all(one.megabytes <= 1000 for one in rank(["en"], 1000))
    with pytest.raises(ModelNotFound, match="--budget-mb 605 or more"):
        rank(["en"], 604)


def test_languages_go_with_the_word_alone() -> None:
    with pytest.raises(ModelNotFound, match="leave it out"):
        recommended("ViT-B-32/openai", "de")


def test_licences_are_found_by_either_name() -> None:
    assert licence_of(ENGLISH_DEFAULT) == licence_of("ViT-B-32/laion2b_s34b_b79k") == "MIT"
    assert licence_of("nobody/knows").startswith("unknown")
