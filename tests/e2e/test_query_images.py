"""Images that a query brings along: from the web, and on standard input."""

import os
import pty
import socket
import subprocess
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from urllib.parse import unquote

import pytest

from search.ranking import web_image
from support.command import COMMAND, Run, json_lines
from support.servers import Served
from support.terminal import in_terminal
from support.web import give, lead, web_server
from support.without import without


class Web:
    """A web server of photos, and what it was asked for."""

    def __init__(self, photos: Path) -> None:
        self.photos = photos
        self.url = ""
        self.asked: list[str] = []

    def answer(self, request: BaseHTTPRequestHandler) -> None:
        path = unquote(request.path.partition("?")[0])
        self.asked.append(request.path)
        photo = self.photos / path.rpartition("/")[2]
        match path.strip("/").split("/"):
            case ["moved", name]:
                lead(request, f"/{name}")
            case ["file"]:
                lead(request, (self.photos / "coffee.png").as_uri())
            case ["ftp"]:
                lead(request, "ftp://127.0.0.1/coffee.png")
            case ["circle"]:
                lead(request, "/circle")
            case ["short"]:
                give(request, b"\x89PNG", length=1000)
            case ["huge"]:
                give(request, b"", length=2**40)
            case ["text"]:
                give(request, b"<html>no image</html>")
            case ["empty"]:
                give(request, b"")
            case ["rude"]:
                request.wfile.write(b"220 this is no web server\r\n")
            case _ if photo.is_file():
                give(request, photo.read_bytes())
            case _:
                request.send_error(404)


@pytest.fixture(autouse=True)
def _no_proxy_between(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "127.0.0.1")


@pytest.fixture(scope="module")
def web(photos_indexed: tuple[Path, Path]) -> Iterator[Web]:
    running = Web(photos_indexed[0])
    with web_server(running.answer) as running.url:
        yield running


@pytest.fixture
def like_the_file(clipdex: Run, photos_indexed: tuple[Path, Path]) -> tuple[list, list]:
    """What `search --image` and `similar` find for the file itself."""
    photos, collection = photos_indexed
    ask = ("--json", "--collection", collection)
    return (
        json_lines(clipdex("search", "--image", photos / "coffee.png", *ask)),
        json_lines(clipdex("similar", photos / "coffee.png", *ask)),
    )


@pytest.mark.parametrize("path", ["/coffee.png", "/moved/coffee.png", "/caf\u00e9 /coffee.png?a=b"])
def test_a_url_is_as_good_as_the_file(
    clipdex: Run, photos_indexed: tuple[Path, Path], web: Web, like_the_file: tuple, path: str
) -> None:
    ask = ("--json", "--collection", photos_indexed[1])
    assert json_lines(clipdex("search", "--image", web.url + path, *ask)) == like_the_file[0]
    web.asked.clear()
    assert json_lines(clipdex("similar", web.url + path, *ask)) == like_the_file[1]
    assert len(web.asked) == 1 + ("moved" in path)


def test_it_needs_no_package_for_remote_folders(
    clipdex: Run, photos_indexed: tuple[Path, Path], web: Web, tmp_path: Path
) -> None:
    hook = without(tmp_path / "hook", "fsspec", "aiohttp", "s3fs")
    ask = ("similar", f"{web.url}/moon.png", "--collection", photos_indexed[1])
    done = clipdex(*ask, env=hook)
    assert len(done.stdout.splitlines()) == 5
    assert b"already in your library" in done.stderr


def test_images_are_steered_away_from_by_url(
    clipdex: Run, photos_indexed: tuple[Path, Path], web: Web
) -> None:
    photos, collection = photos_indexed
    ask = ("search", "a", "cat", "--json", "--collection", collection, "--not-image")
    assert json_lines(clipdex(*ask, f"{web.url}/moon.png")) == json_lines(
        clipdex(*ask, photos / "moon.png")
    )


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("/none.png", "the server answers 404 Not Found"),
        ("/file", "the server sends elsewhere, but to no web server"),
        ("/ftp", "the server sends elsewhere, but to no web server"),
        ("/circle", "the server sends elsewhere, but to no web server"),
        ("/short", "the connection broke off"),
        ("/huge", "is above the limit of 256 MiB"),
        ("/text", "not an image of a format that clipdex reads"),
        ("/empty", "empty"),
        ("/rude", "the server does not answer by HTTP"),
        ("/none.png?token=secret", "/none.png: cannot be fetched"),
    ],
)
def test_what_cannot_be_fetched_is_one_line(
    clipdex: Run, photos_indexed: tuple[Path, Path], web: Web, path: str, said: str
) -> None:
    for command in (("search", "--image"), ("similar",)):
        done = clipdex(*command, web.url + path, "--collection", photos_indexed[1], code=1)
        message = done.stderr.decode()
        assert message.startswith(f"error: {web.url}{path.partition('?')[0]}: ")
        assert said in message
        assert message.count("\n") == 1
        assert "secret" not in message
        assert done.stdout == b""


def test_servers_that_are_not_there_are_one_line(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        nobody = f"http://127.0.0.1:{free.getsockname()[1]}/a.png"
    for url, said in (
        (nobody, "Connection refused"),
        ("http://me:secret@127.0.0.1/a.png", "a URL with a password is not read"),
        ("http:///a.png", "names no web server"),
        ("http://host.invalid/a.png", "cannot be fetched: "),
        ("http://127.0.0.1:port/a.png", "cannot be fetched: "),
    ):
        done = clipdex("similar", url, "--collection", photos_indexed[1], code=1)
        assert said in done.stderr.decode(), url
        assert done.stderr.count(b"\n") == 1
        assert b"secret" not in done.stderr


def test_a_server_that_says_nothing_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.errors import ImageUnreadable
    from indexer.images.decode import Limits

    monkeypatch.setattr(web_image, "STEP_SECONDS", 0.2)
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/a.png"
        with pytest.raises(ImageUnreadable, match="cannot be fetched: no answer within"):
            web_image.fetch_image(url, Limits())


def test_a_server_that_trickles_is_given_up(web: Web, monkeypatch: pytest.MonkeyPatch) -> None:
    from indexer.errors import ImageTooLarge, ImageUnreadable
    from indexer.images.decode import Limits

    with pytest.raises(ImageTooLarge, match="above the limit"):
        web_image.fetch_image(f"{web.url}/coffee.png", Limits(max_bytes=1000))
    monkeypatch.setattr(web_image, "WHOLE_SECONDS", 0.0)
    with pytest.raises(ImageUnreadable, match="has not arrived within 0 s"):
        web_image.fetch_image(f"{web.url}/coffee.png", Limits())


def test_standard_input_is_as_good_as_the_file(
    clipdex: Run, photos_indexed: tuple[Path, Path], like_the_file: tuple
) -> None:
    photos, collection = photos_indexed
    ask = ("--json", "--collection", collection)
    data = (photos / "coffee.png").read_bytes()
    assert json_lines(clipdex("search", "--image", "-", *ask, input=data)) == like_the_file[0]
    assert json_lines(clipdex("similar", "-", *ask, input=data)) == like_the_file[1]
    done = clipdex("similar", "-", "--collection", collection, input=data)
    assert b"already in your library" in done.stderr
    # Read once, it stands in each place.
    both = ("search", "a", "--image", "-", "--not-image", "-", *ask)
    assert len(json_lines(clipdex(*both, input=data))) == 6


def test_no_image_on_standard_input_is_one_line(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    for command in (("search", "--image", "-"), ("similar", "-")):
        ask = (*command, "--collection", photos_indexed[1])
        for data, said in (
            (b"", "standard input is empty: pipe an image into the command"),
            (b"no image", "standard input: not an image of a format that clipdex reads"),
        ):
            assert clipdex(*ask, input=data, code=1).stderr.decode() == f"error: {said}\n"
        closed = subprocess.run(
            ["sh", "-c", 'exec "$@" <&-', "sh", COMMAND, *map(str, ask)], capture_output=True
        )
        assert closed.returncode == 1
        assert closed.stderr.startswith(b"error: standard input is closed")
        ours, theirs = pty.openpty()
        try:
            typed = clipdex(*ask, stdin=theirs, code=2)
        finally:
            os.close(ours)
            os.close(theirs)
        assert b"which is a terminal here" in typed.stderr


def test_a_running_server_is_no_hindrance(
    clipdex: Run, served: Served, web: Web, photos_indexed: tuple[Path, Path]
) -> None:
    ask = ("--paths", "-k", 1, "--collection", served.collection)
    coffee = os.fsencode(photos_indexed[0] / "coffee.png") + b"\n"
    data = (photos_indexed[0] / "coffee.png").read_bytes()
    assert clipdex("search", "--image", f"{web.url}/coffee.png", *ask).stdout == coffee
    assert clipdex("search", "--image", "-", *ask, input=data).stdout == coffee


def test_a_page_of_hits_is_titled(
    clipdex: Run, photos_indexed: tuple[Path, Path], web: Web, tmp_path: Path
) -> None:
    data = (photos_indexed[0] / "coffee.png").read_bytes()
    ask = ("--collection", photos_indexed[1], "--html", "sheet.html")
    clipdex("similar", f"{web.url}/coffee.png?token=secret", *ask)
    assert "<title>Like coffee.png</title>" in (tmp_path / "sheet.html").read_text()
    clipdex("similar", "-", *ask, input=data)
    assert (
        "<title>Like the image on standard input</title>" in (tmp_path / "sheet.html").read_text()
    )


def test_the_terminal_shows_the_hits_of_a_url(photos_indexed: tuple[Path, Path], web: Web) -> None:
    shown = in_terminal("similar", f"{web.url}/coffee.png", "--collection", photos_indexed[1])
    assert b"already in your library" in shown
