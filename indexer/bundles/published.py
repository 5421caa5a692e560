"""What others have published about exported models: recall by language, memory, and time.

The recall is the mean of recall@1, @5 and @10 in percent, of finding the images of Crossmodal-3600
by captions in 36 languages. The source has none below 20: docs/docs/features/searching.md of
github.com/immich-app/immich, read at commit 01a09bb36ba0. Sizes are from docs/models.md.
"""

from dataclasses import dataclass

SOURCE = (
    "Recall (mean of recall@1, @5 and @10 in percent, on Crossmodal-3600), memory in MiB and "
    "milliseconds (on an AMD Ryzen 7 7800X3D) are those of Immich's documentation: "
    "https://docs.immich.app/features/searching"
)
# What the figures are by: ISO 639's codes, and the languages' names.
LANGUAGES = {
    "ar": "Arabic", "bn": "Bengali", "cs": "Czech", "da": "Danish", "de": "German", "el": "Greek",
    "en": "English", "es": "Spanish", "fa": "Persian", "fi": "Finnish", "fil": "Filipino",
    "fr": "French", "he": "Hebrew", "hi": "Hindi", "hr": "Croatian", "hu": "Hungarian",
    "id": "Indonesian", "it": "Italian", "ja": "Japanese", "ko": "Korean", "mi": "Maori",
    "nl": "Dutch", "no": "Norwegian", "pl": "Polish", "pt": "Portuguese", "quz": "Cusco Quechua",
    "ro": "Romanian", "ru": "Russian", "sv": "Swedish", "sw": "Swahili", "te": "Telugu",
    "th": "Thai", "tr": "Turkish", "uk": "Ukrainian", "vi": "Vietnamese", "zh": "Chinese",
}  # fmt: skip


@dataclass(frozen=True)
class Published:
    """An exported model and what is published about it.

    Attributes:
        name: What `clipdex models pull` takes.
        megabytes: Of its weights in 32-bit floats: four bytes a parameter.
        memory: The most that a process with it took, in MiB.
        milliseconds: Of one pass.
        licence: Of the weights, in words. The exports themselves declare none.
        recall: By language.
    """

    name: str
    megabytes: int
    memory: int
    milliseconds: float
    licence: str
    recall: dict[str, float]


LAION, SIGLIP = "MIT", "Apache-2.0"
# The model cards, which decide, were not at hand.
APPLE, NON_COMMERCIAL = "Apple's, unconfirmed", "CC-BY-NC, unconfirmed"

# In the order of the columns of _RECALL.
_MODELS: tuple[tuple[str, int, int, float, str], ...] = (
    ("ViT-B-32__laion2b-s34b-b79k", 605, 1001, 2.29, LAION),
    ("ViT-B-16-SigLIP__webli", 813, 1081, 5.77, SIGLIP),
    ("ViT-B-32-SigLIP2-256__webli", 1508, 3061, 3.31, SIGLIP),
    ("ViT-B-16-SigLIP2__webli", 1501, 3038, 5.81, SIGLIP),
    ("ViT-L-16-SigLIP2-256__webli", 3526, 2830, 23.77, SIGLIP),
    ("ViT-SO400M-16-SigLIP2-256__webli", 4543, 3611, 27.84, SIGLIP),
    ("ViT-H-14-378-quickgelu__dfn5b", 3947, 5049, 108.4, APPLE),
    ("ViT-B-16-SigLIP-i18n-256__webli", 1483, 3029, 6.87, SIGLIP),
    ("XLM-Roberta-Base-ViT-B-32__laion5b_s13b_b90k", 1465, 3030, 3.2, LAION),
    ("nllb-clip-base-siglip__mrl", 2034, 4696, 16.95, NON_COMMERCIAL),
    ("nllb-clip-large-siglip__v1", 4782, 4226, 75.05, NON_COMMERCIAL),
)
_RECALL = """
en  68.78 71.64 73.15 75.19 74.26 74.87 75.73 69.38 68.33 69.66 71.19
ar  -     -     60.7  61.71 66.89 68.64 -     64.1  59.66 74.03 76.44
bn  -     -     -     -     20.94 26.54 -     36.43 -     73.75 76.16
cs  -     22.89 54.31 54.81 61.74 62.82 32.38 61.52 61.01 69.86 71.57
da  -     30.87 67.2  67.68 79.08 81.42 65.36 74.84 75.07 84.18 87.16
de  36.6  75.19 84.44 86.44 88.82 89.45 89.77 83.33 81.63 84.58 88.42
el  -     -     53.24 53.42 59.43 60.06 -     58.78 64.69 69.16 73.28
es  42.5  74.6  78.99 82.22 82.5  83.2  83.0  77.93 75.01 77.21 80.14
fa  -     -     65.16 68.26 71.9  74.32 -     69.79 68.55 75.38 78.99
fi  -     -     40.06 40.26 57.05 61.92 -     63.16 63.08 79.41 83.93
fil -     -     22.69 23.37 30.05 33.98 -     36.81 -     61.21 65.64
fr  56.08 76.3  82.27 84.3  86.08 86.9  87.74 80.28 79.65 82.93 86.11
he  -     -     58.49 60.33 69.34 72.08 -     74.59 72.73 83.84 88.04
hi  -     -     27.08 27.87 34.91 34.19 -     31.85 32.06 58.68 61.67
hr  -     -     53.3  54.31 69.97 72.89 35.64 70.45 72.69 82.98 87.19
hu  -     24.29 56.74 58.31 70.57 73.59 28.26 73.95 72.5  80.34 85.25
id  -     57.52 77.02 79.84 83.69 84.06 65.87 77.12 74.15 81.97 85.46
it  33.8  73.57 81.81 83.78 86.68 87.29 86.91 79.71 77.31 81.32 85.55
ja  -     -     55.31 58.1  66.85 66.54 -     61.48 81.19 81.26 85.15
ko  -     -     67.54 70.25 71.73 74.36 -     67.37 65.44 73.18 76.89
mi  -     -     -     -     -     -     -     -     -     42.8  46.12
nl  29.54 65.29 72.72 75.33 78.0  78.92 77.22 72.06 70.81 75.94 79.31
no  -     35.01 60.94 62.56 71.71 74.44 59.49 65.55 67.81 77.65 80.96
pl  -     39.13 70.34 73.44 78.23 79.45 59.4  74.7  73.69 75.33 79.21
pt  32.62 69.32 74.82 77.54 80.02 80.56 79.61 75.31 73.02 75.26 78.85
quz -     -     -     -     -     -     -     -     -     33.41 37.87
ro  -     20.56 56.54 58.28 71.93 73.22 56.12 71.5  77.92 84.49 89.38
ru  -     -     81.59 84.29 85.98 86.74 39.16 82.86 80.56 80.44 84.24
sv  -     48.38 64.86 66.37 71.23 71.7  62.35 67.48 66.93 73.41 76.37
sw  -     -     -     -     -     -     -     21.64 -     66.09 68.44
te  -     -     -     -     -     -     -     -     -     60.72 62.34
th  -     -     35.28 37.35 43.91 44.66 -     41.1  66.03 76.13 79.07
tr  -     20.08 64.76 66.72 73.83 75.92 38.8  70.15 69.19 78.11 80.89
uk  -     -     63.95 65.28 75.1  77.56 -     73.3  76.31 79.99 83.92
vi  -     -     77.73 80.88 83.93 84.84 -     73.05 75.18 79.79 83.19
zh  -     -     62.56 64.39 66.1  66.24 -     66.87 72.52 72.89 77.49
"""


def _recall() -> list[dict[str, float]]:
    """Return each model's figures, in the order of the models."""
    columns: list[dict[str, float]] = [{} for _ in _MODELS]
    for line in _RECALL.split("\n")[1:-1]:
        language, *figures = line.split()
        for column, figure in zip(columns, figures, strict=True):
            if figure != "-":
                column[language] = float(figure)
    return columns


PUBLISHED = tuple(
    Published(f"immich-app/{name}", megabytes, memory, milliseconds, licence, recall)
    for (name, megabytes, memory, milliseconds, licence), recall in zip(
        _MODELS, _recall(), strict=True
    )
)


def recall_of(name: str) -> dict[str, float] | None:
    """Return a model's recall by language, whatever revision or variant; None if unpublished."""
    plain = name.partition("@")[0].partition(":")[0]
    return next((one.recall for one in PUBLISHED if one.name == plain), None)
