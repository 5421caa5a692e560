"""How a text classifier is learned."""

from adaptation.tuning.settings import Tuning

PROBE = "probe"
# Texts are short, so many fit into memory at a time.
AT_ONCE = 64
TUNED: dict[str, Tuning] = {
    "full": Tuning(rate=1e-4, at_once=AT_ONCE),
    "lora": Tuning(method="lora", rate=3e-3, head_rate=1e-2, at_once=AT_ONCE),
    # From random weights nothing is to be kept, so that every layer moves fast.
    "scratch": Tuning(
        method="scratch",
        rate=5e-4,
        head_rate=5e-3,
        layer_decay=1.0,
        epochs=20,
        at_once=AT_ONCE,
    ),
}
"""The methods that train the text tower, by their names."""

METHODS = (PROBE, *TUNED)
MAX_TOKENS = 128
