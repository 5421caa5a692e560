"""Lines that say what else clipdex could do, for the terminal and the page; CLIPDEX_HINTS=0."""

import os
from collections.abc import Mapping, Sequence
from typing import Any

from indexer.bundles.published import LANGUAGES
from indexer.bundles.recommended import ENGLISH_DEFAULT
from indexer.model_name import BUILT_IN, FORMER, INT8_SUFFIX

ENVIRONMENT = "CLIPDEX_HINTS"


def hints_wanted() -> bool:
    """Return whether the user wants to see hints."""
    return os.environ.get(ENVIRONMENT, "") != "0"


def better_model(model: str, models: Sequence[Mapping[str, Any]] = ()) -> str | None:
    """Return how to find more than with the built-in model; None for another one.

    Args:
        model: The name of the model that answers searches.
        models: All of the collection's, as `Status.models` has them: there is nothing to say while
            it is changing to another one.
    """
    changing = any(one["state"] == "pending" for one in models)
    name = model.removesuffix(INT8_SUFFIX)
    if changing or name not in (BUILT_IN, FORMER):
        return None
    if name == FORMER:
        return (
            f"{FORMER} is the built-in model of an earlier version: `clipdex index FOLDER --model "
            f"{BUILT_IN}` moves this collection to the present one, which finds more. "
            f"Off: {ENVIRONMENT}=0"
        )
    return (
        f"{name} is small: `clipdex models pull recommended`, then `clipdex index FOLDER "
        f"--model {ENGLISH_DEFAULT}` finds more. Off: {ENVIRONMENT}=0"
    )


def ask_in_english(language: str) -> str:
    """Return what to do about a query in a language that the model does not know.

    Args:
        language: Its code, as `search.language.foreign_language` returns it.
    """
    name = LANGUAGES.get(language)
    if name is None:
        return "this looks like a language that this model does not know: ask in English"
    return (
        f"this looks like {name}, which this model does not know: ask in English, or choose a "
        f"model by `clipdex models recommend --languages {language}`"
    )
