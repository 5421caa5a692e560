"""What opening a collection imports."""

import subprocess
import sys


def test_search_without_filters_imports_no_filters() -> None:
    code = "import sys; from search import Engine; print(*sys.modules)"
    loaded = subprocess.check_output([sys.executable, "-c", code], text=True).split()
    assert "search.engine" in loaded
    assert not {
        "search.filters.filter",
        "search.filters.folders",
        "search.filters.dates",
        "PIL",
    } & set(loaded)
