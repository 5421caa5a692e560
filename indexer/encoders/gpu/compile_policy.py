"""Whether `torch.compile` gains more time than it takes.

The default mode of torch.compile fuses what stands between matrix products and convolutions. At
the batches of indexing that is little for a transformer and more for a convolutional network:
with PyTorch 2.0.1 on an A100 and batches of 16, ViT 2 %, BeiT 2 %, ConvNeXT 9 %, ResNet 40 %
(https://huggingface.co/docs/transformers/perf_torch_compile). So a tenth is assumed, and
what it really is shows when the compiled model is measured.
"""

from collections.abc import Callable

# Of what eager execution takes. Source: above.
ASSUMED_GAIN = 0.10
# An assumption, on the high side: tens of seconds are usual for a tower of 12 to 24 layers, and a
# run that ends before that has gained nothing.
COMPILE_SECONDS = 90.0
# A compiled model must be this much faster than the eager one to be kept: less is noise.
MIN_GAIN = 0.02


def pays_back(images: int, per_second: float) -> bool:
    """Whether compiling is worth trying before `images` that take eager execution
    `images / per_second` seconds.
    """
    return ASSUMED_GAIN * images / per_second > COMPILE_SECONDS


def is_faster(compile_model: Callable[[], None], measure: Callable[[], float]) -> bool:
    """Whether the model is faster once `compile_model` has been called; False too where that or
    the compiled model fails.

    measure: images a second, as the model runs now.
    """
    eager = measure()
    try:
        compile_model()
        compiled = measure()
    except Exception:  # the compiler's back ends raise what they like, and eager execution works
        return False
    return compiled > eager * (1 + MIN_GAIN)
