"""Checks for settings that are known to wreck a model, made before it is trained.

Pixels are resized and normalized, and texts tokenized, by the base model's own settings, so only
its configuration can be wrong about these.
"""

from typing import Any

from adaptation.data.checks import Finding
from indexer.bundles.bundle import Bundle

from .settings import TEXT_METHODS, Tuning

# The head's learning rate must be at least this many times the tower's: the tower is trained
# already, and would forget.
MIN_RATE_RATIO = 10

# Means and deviations of images' channels, on a scale of 0 to 1, lie well within these.
MEANS, DEVIATIONS = (0.2, 0.8), (0.1, 0.6)


def objection(settings: Tuning, *, captioned: bool) -> str | None:
    """Return why towers, method and data do not go together, and what does; None if they do.

    Args:
        settings: The run's.
        captioned: Whether the data are captions, not classes.
    """
    if settings.towers == "image":
        return None
    if not captioned:
        return (
            f"--towers {settings.towers} needs captions, and these are classes, of which the image "
            "tower alone learns: leave out --towers, or give a CSV with path,caption"
        )
    if settings.method not in TEXT_METHODS:
        return (
            f"--towers {settings.towers}: --method {settings.method} changes the image tower only; "
            f"a text tower is trained by {' or '.join(TEXT_METHODS)}"
        )
    return None


def check_settings(settings: Tuning) -> list[Finding]:
    """Return the findings; each names what fixes it."""
    found = []
    if settings.method == "full" and settings.rate * MIN_RATE_RATIO > settings.head_rate:
        found.append(
            Finding(
                "tower-rate",
                f"the tower's rate {settings.rate:g} is not {MIN_RATE_RATIO} times below the "
                f"head's {settings.head_rate:g}, so it forgets what it knew: --rate "
                f"{settings.head_rate / MIN_RATE_RATIO:g} or less",
            )
        )
    if settings.warmup <= 0:
        found.append(
            Finding("no-warm-up", "without warm-up the first steps are the largest: --warmup 0.1")
        )
    if settings.rate <= 0 or settings.epochs < 1:
        found.append(
            Finding(
                "all-frozen", "nothing of the tower is trained: give a --rate and --epochs above 0"
            )
        )
    return found


def check_model(base: Bundle) -> list[Finding]:
    """Return what is wrong in a base model's configuration of its images and texts."""
    vision, text = (base.architecture.get(key, {}) for key in ("vision_cfg", "text_cfg"))
    found = [_normalisation(base), _input_size(base, vision), _tokenizer(base, text)]
    return [one for one in found if one is not None]


def _normalisation(base: Bundle) -> Finding | None:
    mean, std = base.image.mean, base.image.std
    if all(MEANS[0] <= one <= MEANS[1] for one in mean) and all(
        DEVIATIONS[0] <= one <= DEVIATIONS[1] for one in std
    ):
        return None
    return Finding(
        "normalisation",
        f"{base.name} normalises images by mean {_numbers(mean)} and std {_numbers(std)}, which "
        "no encoder was trained with: correct preprocess_cfg in its open_clip_config.json and add "
        "it again (`clipdex models add`)",
    )


def _input_size(base: Bundle, vision: dict[str, Any]) -> Finding | None:
    wanted = vision.get("image_size")
    if wanted is None:
        return None
    height, width = (wanted, wanted) if isinstance(wanted, int) else wanted
    if (height, width) == tuple(base.image.size):
        return None
    return Finding(
        "input-size",
        f"{base.name} was built for images of {height} x {width} and is given "
        f"{base.image.size[0]} x {base.image.size[1]}: make preprocess_cfg's size the same as "
        "vision_cfg's image_size and add it again (`clipdex models add`)",
    )


def _tokenizer(base: Bundle, text: dict[str, Any]) -> Finding | None:
    """Check that the tokenizer fits the text tower.

    Byte-pair texts end with an id that the text tower must have a vector for, its last one.
    """
    if not text:
        return None
    of_huggingface = bool(text.get("hf_tokenizer_name") or text.get("hf_model_name"))
    size = text.get("vocab_size", 49408)
    reason = None
    if of_huggingface != (base.text.kind == "huggingface"):
        reason = f"names {'a' if of_huggingface else 'no'} tokenizer of Hugging Face's"
    elif base.text.kind == "bpe" and base.text.end != size - 1:
        reason = f"has {size:,} words, and texts end with number {base.text.end:,}"
    elif text.get("context_length", 77) != base.text.context_length:
        reason = f"reads {text.get('context_length', 77)} tokens, not {base.text.context_length}"
    if reason is None:
        return None
    return Finding(
        "tokenizer",
        f"the tokenizer of {base.name} is not its text tower's, which {reason}: correct text_cfg "
        "in its open_clip_config.json and add it again (`clipdex models add`)",
    )


def _numbers(values: tuple[float, ...]) -> str:
    return ", ".join(f"{value:g}" for value in values)
