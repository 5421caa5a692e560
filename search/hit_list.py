"""What `Engine.search` returns: hits, and the forms in which other tools take them."""

from typing import Any

from .hits import Hit


class HitList(list[Hit]):
    """Hits as `Engine.search` returns them: a list, which a notebook shows as a contact sheet."""

    def _repr_html_(self) -> str:
        """Return small images in a grid, for notebooks."""
        from .contact_sheet import grid  # decodes images

        return grid(self)

    def to_pandas(self) -> Any:
        """Return a pandas DataFrame of a row a hit, with the fields of `--json`.

        Raises:
            ImportError: pandas is not installed.
        """
        import pandas

        return pandas.DataFrame([hit.to_json() for hit in self])

    def to_arrow(self) -> Any:
        """Return a pyarrow Table of a row a hit, with the fields of `--json`.

        Raises:
            ImportError: pyarrow is not installed.
        """
        import pyarrow

        return pyarrow.Table.from_pylist([hit.to_json() for hit in self])
