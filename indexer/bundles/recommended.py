"""Which model to take: a hand-maintained list of models worth trying, and a ranking by language.

The list has their use, size, and the licence of the weights. Names are open_clip's. Sizes are those
of a bundle whose weights all need float32. Licences are those on the weights' pages when this was
written; the pages decide.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from indexer.errors import ModelNotFound

from .published import LANGUAGES, PUBLISHED, Published

# The name that `clipdex models pull` replaces by that of a default.
WORD = "recommended"
# A default has to be fast without a GPU, and free to use; the finer ones are a choice.
ENGLISH_DEFAULT = "immich-app/ViT-B-32__laion2b-s34b-b79k"
DEFAULT = "immich-app/ViT-B-32-SigLIP2-256__webli"
ALIASES = {"nb": "no", "nn": "no", "iw": "he", "tl": "fil", "in": "id"}


@dataclass(frozen=True)
class Recommendation:
    """A model: its name, what it is good for, megabytes on disk, and the licence of its weights."""

    name: str
    use: str
    megabytes: int
    licence: str


CARD = "see the model card"
APPLE = "Apple's research licence (apple-amlr): no commercial use; see the model card"

RECOMMENDED = (
    Recommendation("pocket", "built in: small and fast, plain things and scenes", 46, "see NOTICE"),
    Recommendation("ViT-B-32/laion2b_s34b_b79k", "all-round, fast without a GPU", 605, "MIT"),
    Recommendation("ViT-B-16/datacomp_xl_s13b_b90k", "finer than B-32, a quarter of its speed",
                   599, CARD),
    Recommendation("ViT-L-14/datacomp_xl_s13b_b90k", "finer again, slow without a GPU",
                   1711, CARD),
    Recommendation("ViT-B-16-SigLIP/webli", "short queries, close distinctions", 813, "Apache-2.0"),
    Recommendation("ViT-B-16-SigLIP2/webli", "many languages, details", 1501, "Apache-2.0"),
    Recommendation("MobileCLIP2-S0/dfndr2b", "small and accurate", 299, APPLE),
    Recommendation("MobileCLIP2-S2/dfndr2b", "more accurate, still light", 397, APPLE),
    Recommendation("xlm-roberta-base-ViT-B-32/laion5b_s13b_b90k", "queries in 100 languages",
                   1465, "MIT"),
)  # fmt: skip
UNKNOWN = "unknown: see where the weights come from"


def licence_of(name: str) -> str:
    """Return the licence of a model's weights, if it is listed here."""
    licences = {one.name: one.licence for one in PUBLISHED}
    licences |= {one.name: one.licence for one in RECOMMENDED}
    return licences.get(name, UNKNOWN)


def parse_languages(text: str | None) -> list[str]:
    """Parse codes of languages, separated by commas; none are English.

    Raises:
        ModelNotFound: No figures are published for one of them.
    """
    codes = []
    for part in (text or "en").split(","):
        code = part.strip().lower().replace("_", "-").partition("-")[0]
        code = ALIASES.get(code, code)
        if code not in LANGUAGES:
            raise ModelNotFound(
                f"no figures are published for the language {part.strip()!r}: give codes such as "
                f"zh,de. There are figures for {', '.join(sorted(LANGUAGES))}"
            )
        if code not in codes:
            codes.append(code)
    return codes


def rank(languages: Sequence[str], megabytes: int | None = None) -> list[Published]:
    """Return the models with a published recall for each language, the best on average first.

    Args:
        languages: Codes, as `parse_languages` returns them.
        megabytes: How large a model may be.

    Raises:
        ModelNotFound: No model has figures for all of them, or all that have are larger.
    """
    found = [one for one in PUBLISHED if all(code in one.recall for code in languages)]
    named = " and ".join(LANGUAGES[code] for code in languages)
    if not found:
        raise ModelNotFound(
            f"no model has a published recall for {named} together: ask for fewer languages at once"
        )
    if megabytes is not None:
        smallest = min(found, key=lambda one: one.megabytes)
        found = [one for one in found if one.megabytes <= megabytes]
        if not found:
            raise ModelNotFound(
                f"no model for {named} has {megabytes:,} MB or less: the smallest, "
                f"{smallest.name}, has {smallest.megabytes:,}. Give --budget-mb "
                f"{smallest.megabytes} or more, or stay with the built-in model, pocket"
            )
    return sorted(found, key=lambda one: -mean_recall(one, languages))


def mean_recall(model: Published, languages: Sequence[str]) -> float:
    """Return a model's published recall in percent, as the mean over languages."""
    return sum(model.recall[code] for code in languages) / len(languages)


def default_for(model: Published) -> str | None:
    """Return what a model is the default for, in words; None for all others."""
    return {ENGLISH_DEFAULT: "English", DEFAULT: "other languages"}.get(model.name)


def recommended(name: str, languages: str | None = None) -> str:
    """Return the name of the default model where `name` is "recommended", otherwise `name`.

    Args:
        name: What the user asked for.
        languages: What the model has to know, as `parse_languages` takes it.

    Raises:
        ModelNotFound: The default does not know these languages, or there is another name.
    """
    if name != WORD:
        if languages is not None:
            raise ModelNotFound(
                f"--languages chooses a model, and {name!r} is one: leave it out, or give "
                f"{WORD!r} as the name"
            )
        return name
    codes = parse_languages(languages)
    chosen = ENGLISH_DEFAULT if codes == ["en"] else DEFAULT
    if chosen not in [one.name for one in rank(codes)]:
        raise ModelNotFound(
            f"the default model, {chosen}, has no published recall for "
            f"{' and '.join(LANGUAGES[code] for code in codes)}: choose one by name from "
            f"`clipdex models recommend --languages {','.join(codes)}`"
        )
    return chosen
