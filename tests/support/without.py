"""Packages made unimportable in a command of its own."""

from pathlib import Path

TORCH = ("torch", "open_clip", "torchvision", "onnx", "onnxscript")

# Python runs a `sitecustomize` that it finds on its path before anything else.
HOOK = """
import sys

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in {names!r}:
            raise ImportError(f"{{name}} is blocked", name=name)

sys.meta_path.insert(0, Refuse())
"""


def without(folder: Path, *names: str) -> dict[str, str]:
    """The environment of a process that cannot import these packages.

    folder: where the hook is written.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "sitecustomize.py").write_text(HOOK.format(names=set(names)))
    return {"PYTHONPATH": str(folder)}
