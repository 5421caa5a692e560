"""Words of names: compared in any case and with any accents, as SQLite's FTS5 does."""

import re
import unicodedata

# Letters and digits; what stands between them in names of files (_ among it) separates.
WORD = re.compile(r"[^\W_]+")


def words_of(text: str) -> list[str]:
    """Return the words in a text, in lower case and without accents."""
    plain = (
        character
        for character in unicodedata.normalize("NFKD", text)
        if not unicodedata.combining(character)
    )
    return WORD.findall("".join(plain).lower())


def found_in(text: str, name: str, *, whole: bool = False) -> bool:
    """Return whether the words of a text follow each other in a name.

    Args:
        text: The words to find.
        name: Where to look for them.
        whole: Whether the last one has to be a whole word, and not the beginning of one.
    """
    wanted, words = words_of(text), words_of(name)
    for start in range(len(words) - len(wanted) + 1) if wanted else ():
        *before, last = words[start : start + len(wanted)]
        fits = last == wanted[-1] if whole else last.startswith(wanted[-1])
        if fits and before == wanted[:-1]:
            return True
    return False
