"""Sample images and texts for comparing two encoders of one model."""

import numpy as np
from PIL import Image, ImageDraw

SUBJECTS = (
    "a dog",
    "two cats on a sofa",
    "the Eiffel tower at night",
    "a red bicycle leaning on a wall",
    "children playing football in the rain",
    "a bowl of ramen, seen from above",
    "snow",
    "an old man's portrait, black & white",
)
PATTERNS = (
    "{}",
    "a photo of {}.",
    "A BLURRY PHOTO OF {}!",
    "{}, 35mm film, 1987 (scan #12)",
    "there is {} here &amp; there",
    "it\u2019s {} \u2014 na\u00efve caf\u00e9 \u65e5\u672c\u8a9e \U0001f642",
    "{} <end_of_text> {}",
    " ".join(["{} and"] * 14),
)


def sample_texts() -> list[str]:
    """Return 64 texts: short and long, with entities, accents, emoji and a special token."""
    return [pattern.replace("{}", subject) for subject in SUBJECTS for pattern in PATTERNS]


def sample_images(count: int = 16) -> list[Image.Image]:
    """Return RGB images of several sizes: smooth gradients with shapes on them, and noise."""
    random = np.random.default_rng(0)
    images = []
    for number in range(count):
        width, height = (int(side) for side in random.integers(120, 700, size=2))
        corners = random.integers(0, 256, size=(3, 4, 3), dtype=np.uint8)
        image = Image.fromarray(corners).resize((width, height), Image.Resampling.BICUBIC)
        draw = ImageDraw.Draw(image)
        for _ in range(number % 7):
            left, top = int(random.integers(0, width)), int(random.integers(0, height))
            color = tuple(int(value) for value in random.integers(0, 256, size=3))
            draw.ellipse((left, top, left + width // 3, top + height // 4), fill=color)
        noise = random.normal(0, 4 + number, size=(height, width, 1))
        noisy = np.clip(np.asarray(image) + noise, 0, 255).astype(np.uint8)
        images.append(Image.fromarray(noisy))
    return images
