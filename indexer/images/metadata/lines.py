"""Texts of metadata as single lines, since nothing that a file says is trusted."""

# Longer texts are cut.
MAX_LENGTH = 100


def line_of(value: object) -> str | None:
    """Return a text as one line without control characters; None where there is nothing in it."""
    if isinstance(value, bytes):
        value = value.decode("utf-8", "replace")
    if not isinstance(value, str):
        return None
    shown = "".join(one if one.isprintable() else " " for one in value[: 4 * MAX_LENGTH])
    return " ".join(shown.split())[:MAX_LENGTH] or None
