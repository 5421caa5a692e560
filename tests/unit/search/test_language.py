"""Queries in other languages than English are told from those in English."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from indexer.bundles.bundle import Bundle
from indexer.model_name import BUILT_IN_FOLDER
from indexer.testing import FakeEncoder
from search.language import foreign_language, knows

FOREIGN = {
    "de": ("Hund im Schnee", "eine rote Blume", "ZWEI HUNDE", "die Frau mit dem Hut am See"),
    "fr": ("un chien sur la plage", "une femme avec un chapeau", "le bateau sur la mer"),
    "es": ("perro en la playa", "dos niños jugando", "una mujer con un vestido"),
    "it": ("una donna con un cane", "un gatto sul divano", "bambini in spiaggia"),
    "pt": ("cachorro na praia", "uma mulher de vestido"),
    "nl": ("een hond op het strand", "zwarte kat op de bank van hout"),
    "pl": ("dziewczyna na plaży", "czerwony samochód"),
    "sv": ("en flicka med en boll", "två katter"),
    "da": ("en pige med en hund",),
    "no": ("en jente med en hund",),
    "cs": ("kočka na stole",),
    "tr": ("bir köpek",),
    "fi": ("koira rannalla",),
    "ru": ("собака", "Собака на пляже"),
    "uk": ("жінка їсть",),
    "el": ("σκύλος στην παραλία",),
    "he": ("כלב על החוף",),
    "ar": ("كلب على الشاطئ",),
    "fa": ("سگ در پارک",),
    "hi": ("कुत्ता",),
    "bn": ("কুকুর",),
    "th": ("สุนัข",),
    "ko": ("해변의 개",),
    "ja": ("海の夕日", "ネコ"),
    "zh": ("犬", "雪中的狗", "a photo of 東京"),
    "vi": ("con chó trên bãi biển",),
    "und": ("ქართული ძაღლი",),
}  # fmt: skip
ENGLISH = (
    "a dog on a beach", "MIT campus", "El Niño storm", "Uma Thurman", "Vincent van Gogh", "π",
    "La Casa de Papel", "Place de la Concorde", "Robin van de Kamp", "Mies van der Rohe",
    "jalapeño and piñata", "crème brûlée in a café", "an α particle", "phở", "5 µm", "Ｈｅｌｌｏ",
    "man met woman in van on strand", "OG sneakers", "die hard poster", "Das Boot", "im in the den",
    "Rio de Janeiro beach", "Playa del Carmen", "Santa Maria del Fiore", "a dachshund in Göteborg",
    "the und-er world with an ein", "feliz navidad", "🐕 🏖", "①②", "", "1980s", "Tour de France",
)  # fmt: skip


@pytest.mark.parametrize("code", FOREIGN)
def test_a_foreign_language_is_named(code: str) -> None:
    assert {text: foreign_language(text) for text in FOREIGN[code]} == dict.fromkeys(
        FOREIGN[code], code
    )


def test_english_with_foreign_names_is_english() -> None:
    assert {text: foreign_language(text) for text in ENGLISH} == dict.fromkeys(ENGLISH)


def test_the_caption_bank_is_english() -> None:
    bank = (BUILT_IN_FOLDER.parent / "captions.txt").read_text(encoding="utf-8").splitlines()
    assert [text for text in bank if foreign_language(text)] == []


@pytest.mark.shared
def test_captions_of_photos_are_english(development_data: Path) -> None:
    lines = (development_data / "datasets" / "flickr8k" / "dev.jsonl").read_text(encoding="utf-8")
    captions = [text for line in lines.splitlines() for text in json.loads(line)["captions"]]
    assert len(captions) > 4_000
    assert [text for text in captions if foreign_language(text)] == []


def test_what_models_know() -> None:
    pocket = Bundle.load(BUILT_IN_FOLDER)
    assert not knows(pocket, "de")
    unigrams = replace(pocket, text=replace(pocket.text, kind="huggingface"))
    assert knows(unigrams, "de")
    siglip = replace(unigrams, name="immich-app/ViT-B-16-SigLIP__webli@2")
    assert knows(siglip, "de")
    assert not knows(siglip, "zh")  # no figure is published
    assert knows(siglip, "und")
    assert knows(FakeEncoder(), "de")  # nothing is known of it
