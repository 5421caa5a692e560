"""Strings that tokenizers find hard."""

import random

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
