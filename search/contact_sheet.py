"""Hits as one HTML page with small images in it, which needs nothing else to be looked at."""

import base64
import html
import os
import stat
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path

from indexer.errors import ClipdexError, ImageError
from indexer.images.decode import Limits
from indexer.images.thumbnails import webp
from indexer.store.paths import is_url
from indexer.user_folders import cache_folder

from .hits import Hit, Results

SIDE = 320
# The page that --open makes anew each time.
OPENED = "contact-sheet.html"

HEAD = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<meta http-equiv="Content-Security-Policy"
  content="default-src 'none'; img-src data:; style-src 'unsafe-inline'">
<title>{title}</title>
<style>body {{ font: 15px/1.4 system-ui, sans-serif; margin: 1rem; }}</style>
<h1>{title}</h1>
<p>{summary}</p>
"""
STYLE = """<style>
.clipdex-hits { list-style: none; margin: 0; padding: 0; display: grid; gap: 1rem;
  grid-template-columns: repeat(auto-fill, minmax(min(100%, 200px), 1fr)); }
.clipdex-hits li { margin: 0; }
.clipdex-hits a { color: inherit; text-decoration: none; }
.clipdex-hits a:hover, .clipdex-hits a:focus-visible { text-decoration: underline; }
.clipdex-hits img { width: 100%; height: auto; display: block; border-radius: 4px; }
.clipdex-hits .none { aspect-ratio: 4 / 3; display: grid; place-items: center; border: 1px dashed;
  border-radius: 4px; }
.clipdex-hits small { opacity: 0.75; overflow-wrap: anywhere; }
</style>
"""


class SheetUnwritable(ClipdexError):
    """A contact sheet that cannot be written."""


def write_contact_sheet(results: Results, title: str, file: Path | None = None) -> Path:
    """Write hits as a page.

    Args:
        results: The hits.
        title: What was looked for.
        file: Where to; the same file among the user's caches each time when None.

    Returns:
        The file. What stood there before is kept until the page is whole.

    Raises:
        SheetUnwritable: It cannot be written.
    """
    path = file or cache_folder() / OPENED
    try:
        if file is None:
            path.parent.mkdir(parents=True, exist_ok=True)
        handle, beside = tempfile.mkstemp(dir=path.parent, prefix=".", suffix=".html")
        try:
            with open(handle, "w", encoding="utf-8", errors="replace") as page:
                page.writelines(_page(results, title))
            if file is not None:  # for whom other files are: mkstemp's are for this user
                os.chmod(beside, stat.S_IMODE(0o666 & ~_umask()))
            os.replace(beside, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(beside)
            raise
    except OSError as exc:
        raise SheetUnwritable(
            f"cannot write {path}: {exc.strerror or exc}. Name another file with --html"
        ) from exc
    return path


def grid(hits: Sequence[Hit]) -> str:
    """Return hits as a part of a page: small images with their names."""
    items = "".join(map(_item, hits))
    return f'{STYLE}<ol class="clipdex-hits">\n{items}</ol>\n'


def _page(results: Results, title: str) -> Iterator[str]:
    hits, matches = results.hits, results.total_matches
    summary = f"{len(hits):,} of {results.total:,} images"
    if matches is not None:
        summary += f"; {matches:,} match"
    yield HEAD.format(title=html.escape(title), summary=summary)
    yield grid(hits)
    yield "</html>\n"


def _item(hit: Hit) -> str:
    name = html.escape(os.path.basename(hit.path), quote=True)
    lines = [] if hit.relevance is None else [f"{hit.relevance:.0%} match"]
    lines += [hit.taken_at[:10]] if hit.taken_at and hit.dated_by == "image" else []
    return (
        f'<li><a href="{html.escape(hit.link or "#", quote=True)}">{_image(hit, name)}</a>'
        f"{name}<br><small>{' · '.join(lines)}<br>{html.escape(os.path.dirname(hit.path))}"
        "</small></li>\n"
    )


def _image(hit: Hit, name: str) -> str:
    if is_url(hit.raw_paths[0]):  # a search contacts nobody
        return f'<span class="none">{name}</span>'
    try:
        data = webp(hit.file.read_bytes(), SIDE, Limits(), name=hit.raw_paths[0])
    except (OSError, ImageError):
        return '<span class="none">cannot be read</span>'
    return f'<img alt="{name}" src="data:image/webp;base64,{base64.b64encode(data).decode()}">'


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
