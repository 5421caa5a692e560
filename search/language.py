"""Tells when a query is in a language that the model does not know.

A small check, by script and by a few words of some big languages, that errs towards saying nothing:
a word alone may belong to several languages, and English is full of foreign names.
"""

import unicodedata
from collections.abc import Iterable
from functools import cache

from indexer.bundles.bundle import Bundle
from indexer.encoder import Encoder

# ISO 639's code for a language that cannot be told.
UNKNOWN = "und"
# The first and last letters of a script, and the language that it is taken for.
SCRIPTS = (
    ("\u0370", "\u03ff", "el"), ("\u1f00", "\u1fff", "el"), ("\u0400", "\u052f", "ru"),
    ("\u0590", "\u05ff", "he"), ("\u0600", "\u06ff", "ar"), ("\u0750", "\u077f", "ar"),
    ("\u0900", "\u097f", "hi"), ("\u0980", "\u09ff", "bn"), ("\u0c00", "\u0c7f", "te"),
    ("\u0e00", "\u0e7f", "th"), ("\u1100", "\u11ff", "ko"), ("\uac00", "\ud7a3", "ko"),
    ("\u3040", "\u30ff", "ja"), ("\u3400", "\u9fff", "zh"), ("\U00020000", "\U0003ffff", "zh"),
)  # fmt: skip
# Letters that tell a language from others of its script.
LETTERS = {"ru": (("uk", "іїєґ"),), "ar": (("fa", "پچژگ"),)}
LATIN = (("\0", "\u036f"), ("\u1d00", "\u1eff"), ("\u2c60", "\u2c7f"), ("\ua720", "\uab6f"))
# Of Latin letters, those with the tones of Vietnamese.
VIETNAMESE = ("\u1ea0", "\u1ef9")

# Words that are hardly ever part of a query in English: one of them tells the language.
TELLING = {
    "de": "ein eine einen einem einer und auf nicht sind zwei beim zum zur hund hunde katze katzen "
    "mädchen kinder spielen spielt läuft springt sitzt steht sonnenuntergang geburtstag hochzeit "
    "weihnachten fahrrad",
    "fr": "une dans avec chien chiens enfants garçon plage montagne neige voiture vélo jouant "
    "anniversaire assis chevaux oiseau oiseaux derrière devant arbre arbres forêt église",
    "es": "perro perros gato gatos niños niñas mujer mujeres montaña corriendo jugando "
    "coche árbol árboles junto mientras cumpleaños pájaro caballo bicicleta vestido iglesia",
    "it": "gatto gatti uomo uomini bambini bambina ragazza ragazze ragazzo ragazzi sulla spiaggia "
    "montagne albero alberi mentre gioca corre compleanno uccello bicicletta",
    "pt": "cachorro cachorros gato gatos menina meninas menino meninos homem homens mulher "
    "mulheres montanha crianças correndo brincando árvore árvores não cavalo aniversário pássaro "
    "bicicleta igreja",
    "nl": "een het hond honden meisje meisjes jongen jongens vrouw vrouwen kinderen naar voor "
    "zijn niet speelt loopt rijdt zonsondergang sneeuw bloemen fiets paard verjaardag kerk bomen",
    "pl": "się koty dziewczyna dziewczynka chłopiec mężczyzna kobieta plaży plaża śnieg śniegu "
    "góry zachód słońca dwa dwie dzieci biały czarny czerwony przez przy kwiaty drzewo samochód "
    "morze urodziny",
    "sv": "och ett är på för flicka flickor pojke pojkar kvinna solnedgång snö två svart röd "
    "leker hundar häst träd",
    "da": "på pige piger dreng drenge kvinde solnedgang børn rød hvid træ",
    "no": "på jente jenter gutt gutter kvinne solnedgang snø rød hvit leker fjell",
    "cs": "kočka dívka muž žena sníh pláž pláži děti červený slunce hraje",
    "tr": "bir köpek kedi kız kadın çocuk çocuklar kumsalda plajda günbatımı ağaç kırmızı",
    "fi": "koira nainen tyttö poika lapsi lapset rannalla auringonlasku punainen kaksi",
}
# Words that English names and phrases have, too: it takes three of them.
USUAL = {
    "de": "der das den dem des im am mit ist von aus vor über unter hinter frau mann junge bei "
    "schnee blumen wasser berge himmel",
    "fr": "le la les un des du de au aux sur et femme homme fille qui sous en château noël cheval "
    "bateau ciel mer",
    "es": "el la los las un una al de del en por con para que se y sobre niño niña hombre hombres "
    "nieve cielo navidad",
    "it": "il lo la le un una di del della dei delle da nel nella al con su che sono neve donna "
    "tramonto montagna cavallo chiesa",
    "pt": "um uma os ao da das dos na nas em com de por que neve praia",
    "nl": "de en van op aan uit kat zwarte jonge",
    "pl": "jest kot psa na w z ze nad",
    "sv": "en av med som hund katt hav vit",
    "da": "og en et af med hund mand hav som",
    "no": "og en et av med hund mann hav som",
    "cs": "pes na se ve v dva strom",
    "tr": "ve bu",
    "fi": "ja kissa mies",
}
# Words of English that none of these languages has: each weighs against the others.
ENGLISH = frozenset(("the", "of", "with", "and", "while", "his", "her", "their", "wearing", "from",
                     "near", "this", "that"))  # fmt: skip
ENOUGH = 3


def knows(model: Bundle | Encoder, language: str) -> bool:
    """Return whether a model may know a language.

    Models with CLIP's own tokenizer were trained on English; of others it is believed, unless
    there are published figures of the model and none for this language.

    Args:
        model: A compiled model; of an encoder that is none, nothing is known.
        language: A code, as `foreign_language` returns it.
    """
    bundle = getattr(model, "bundle", model)
    if not isinstance(bundle, Bundle):
        return True
    if bundle.text.kind == "bpe":
        return False
    from indexer.bundles.published import LANGUAGES, recall_of

    recall = recall_of(bundle.name)
    return recall is None or language in recall or language not in LANGUAGES


def first_foreign(texts: Iterable[str]) -> str | None:
    """Return the code of the first text's language that is not English; see below."""
    return next(filter(None, map(foreign_language, texts)), None)


def foreign_language(text: str) -> str | None:
    """Return the code of the language of a text that is not in English.

    Args:
        text: As somebody has typed it.

    Returns:
        A code of ISO 639; UNKNOWN where only the letters are foreign, None where the text seems
        to be English, or nothing can be told.
    """
    text = unicodedata.normalize("NFKC", text).lower()
    return _by_script(text) or _by_words(text)


def _by_script(text: str) -> str | None:
    if text.isascii():
        return None
    foreign = [one for one in text if one.isalpha() and not _is_latin(one)]
    words = (sum(one in foreign for one in word) for word in text.split())
    found = [_script(one) for one in foreign]
    # A single letter of another alphabet is a sign, as in mathematics; a Chinese one is a word.
    if foreign and ("zh" in found or max(words) > 1):
        # Japanese has Chinese characters, and Chinese has no kana.
        code = "ja" if "ja" in found else max(set(found), key=found.count)
        return next((to for to, signs in LETTERS.get(code, ()) if set(signs) & set(text)), code)
    accented = sum(one.isalpha() and not one.isascii() for one in text)
    tones = any(VIETNAMESE[0] <= one <= VIETNAMESE[1] for one in text)
    return "vi" if tones and accented > 2 else None


def _is_latin(letter: str) -> bool:
    return any(first <= letter <= last for first, last in LATIN)


def _script(letter: str) -> str:
    return next((code for first, last, code in SCRIPTS if first <= letter <= last), UNKNOWN)


@cache
def _weights() -> dict[str, dict[str, int]]:
    """Return how much each word says for each language."""
    return {
        code: dict.fromkeys(USUAL[code].split(), 1) | dict.fromkeys(TELLING[code].split(), ENOUGH)
        for code in TELLING
    }


def _by_words(text: str) -> str | None:
    words = set("".join(one if one.isalpha() else " " for one in text).split())
    against = len(words & ENGLISH)
    scores = {
        code: sum(weights.get(word, 0) for word in words) for code, weights in _weights().items()
    }
    best = max(scores, key=scores.__getitem__)
    return best if scores[best] >= ENOUGH * (1 + against) else None
