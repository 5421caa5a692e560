"""A hand-maintained list of models worth trying: their use, size, and the licence of the weights.

Names are open_clip's. Sizes are those of a bundle whose weights all need float32.
Licences are those on the weights' pages when this was written; the pages decide.
"""

from dataclasses import dataclass


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
    return next((one.licence for one in RECOMMENDED if one.name == name), UNKNOWN)
