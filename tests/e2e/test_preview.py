"""`--preview`: what a terminal is sent decodes back to the images of the hits."""

import base64
import re
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from support.command import Run, json_lines
from support.images import make_photo
from support.servers import Served
from support.terminal import in_terminal
from support.waiting import wait_until
from terminal.results.preview import Protocol, lines_for, protocol_of

KITTY = re.compile(rb"\x1b_G([^;]*);([A-Za-z0-9+/=]*)\x1b\\")
ITERM2 = re.compile(rb"\x1b\]1337;File=([^:]*):([A-Za-z0-9+/=]*)\x07")
SIXEL = re.compile(rb'\x1bPq"1;1;(\d+);(\d+)([^\x1b]*)\x1b\\')
SIDE = 320


# What the terminal of whoever runs the tests sets.
VARIABLES = ("CLIPDEX_PREVIEW", "KITTY_WINDOW_ID", "KONSOLE_VERSION", "LC_TERMINAL", "STY",
             "TERM_PROGRAM", "TMUX")  # fmt: skip


@pytest.fixture(autouse=True)
def _no_terminal_of_ours(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)


def settings(text: bytes, separator: str) -> dict[str, str]:
    return dict(one.split("=") for one in text.decode().split(separator))


def of_kitty(shown: bytes) -> list[tuple[dict[str, str], Image.Image]]:
    """The images that kitty would show, with what it is told of each."""
    images, data, about = [], b"", {}
    for given, part in KITTY.findall(shown):
        told = settings(given, ",")
        assert len(part) <= 4096
        about = about or told
        data += part
        if told["m"] == "0":
            images.append((about, Image.open(BytesIO(base64.b64decode(data, validate=True)))))
            data, about = b"", {}
    assert not data
    return images


def of_iterm2(shown: bytes) -> list[tuple[dict[str, str], Image.Image]]:
    images = []
    for given, data in ITERM2.findall(shown):
        about, file = settings(given, ";"), base64.b64decode(data, validate=True)
        assert about["size"] == str(len(file))
        images.append((about, Image.open(BytesIO(file))))
    return images


def of_sixel(shown: bytes) -> list[tuple[dict[str, str], Image.Image]]:
    """The images that a terminal of sixels would show; written against the format alone."""
    images = []
    for width, height, data in SIXEL.findall(shown):
        pixels = np.zeros((int(height) + 6, int(width), 3), dtype=np.uint8)
        colors: dict[int, tuple[int, ...]] = {}
        color, x, top = 0, 0, 0
        for token in re.findall(rb"#\d+(?:;\d+){4}|#\d+|!\d+[?-~]|[?-~]|\$|-", data):
            if token == b"$":
                x = 0
            elif token == b"-":
                x, top = 0, top + 6
            elif token[:1] == b"#":
                color, *mixed = map(int, token[1:].split(b";"))
                if mixed:
                    assert mixed[0] == 2
                    colors[color] = tuple(round(share * 2.55) for share in mixed[1:])
            else:
                count = int(token[1:-1]) if token[:1] == b"!" else 1
                assert x + count <= int(width)
                for line in range(6):
                    if (token[-1] - 63) >> line & 1:
                        pixels[top + line, x : x + count] = colors[color]
                x += count
        images.append(({}, Image.fromarray(pixels[: int(height)])))
    return images


TERMINALS = {
    "kitty": ({"TERM": "xterm-kitty"}, of_kitty, (SIDE, SIDE)),
    "iterm2": ({"TERM": "xterm-256color", "TERM_PROGRAM": "iTerm.app"}, of_iterm2, (SIDE, SIDE)),
    # The pty does not know how high a line is: 12 of 20 pixels.
    "sixel": ({"TERM": "foot"}, of_sixel, (SIDE, 240)),
}


@pytest.mark.parametrize("name", TERMINALS)
def test_images_come_below_their_rows(
    clipdex: Run, photos_indexed: tuple[Path, Path], name: str
) -> None:
    environment, decoded, box = TERMINALS[name]
    ask = ("search", "a cat", "-k", 3, "--collection", photos_indexed[1])
    hits = json_lines(clipdex(*ask, "--json"))
    shown = in_terminal(*ask, "--preview", **environment)
    images = decoded(shown)
    assert len(images) == len(hits)
    for (about, image), hit in zip(images, hits, strict=True):
        with Image.open(hit["path"]) as file:
            truth = file.convert("RGB")
        scale = min(1, *(side / of for side, of in zip(box, truth.size, strict=True)))
        expected = tuple(round(side * scale) for side in truth.size)
        assert image.size == pytest.approx(expected, abs=1)
        if about:
            assert about["r" if name == "kitty" else "height"] == "12"
        wanted = np.asarray(truth.resize(image.size), dtype=float)
        got = np.asarray(image.convert("RGB"), dtype=float)
        assert np.abs(wanted - got).mean() < 8
    # Each row stands above its image, and nothing else is sent.
    rest = {"kitty": KITTY, "iterm2": ITERM2, "sixel": SIXEL}[name].sub(b"[image]", shown)
    rest = re.sub(rb"\x1b\[[0-9;]*m|\x1b\]8;[^\x1b]*\x1b\\", b"", rest)
    rest = re.sub(rb"(\[image\])+", b"[image]", rest)  # kitty's come in parts
    assert b"\x1b" not in rest
    names = "|".join(re.escape(Path(hit["path"]).name) for hit in hits)
    assert re.findall(rf"{names}|\[image\]".encode(), rest) == [
        part for hit in hits for part in (Path(hit["path"]).name.encode(), b"[image]")
    ]


def test_similar_shows_images_too(photos_indexed: tuple[Path, Path]) -> None:
    photos, collection = photos_indexed
    ask = ("similar", photos / "moon.png", "-k", 2, "--collection", collection)
    assert len(of_kitty(in_terminal(*ask, "--preview", TERM="xterm-kitty"))) == 2
    assert not of_kitty(in_terminal(*ask, TERM="xterm-kitty"))
    assert not of_kitty(in_terminal(*ask, "--preview", "--no-preview", TERM="xterm-kitty"))


def test_hits_of_a_running_server_are_shown(served: Served) -> None:
    count = len(served.log)
    ask = ("search", "a cat", "-k", 2, "--collection", served.collection, "--preview")
    assert len(of_iterm2(in_terminal(*ask, TERM_PROGRAM="WezTerm"))) == 2
    wait_until(lambda: any('"command": "search"' in line for line in served.log[count:]))


def test_names_files_and_shapes_of_any_kind(clipdex: Run, tmp_path: Path) -> None:
    photos = tmp_path / "photos"
    make_photo(photos / "esc\x1b_Ga=T;x\x1b\\.png", 1)
    make_photo(photos / "wide.png", 2, (2000, 20))
    make_photo(photos / "high.png", 3, (20, 2000))
    make_photo(photos / "tiny.png", 4, (3, 2))
    make_photo(photos / "gone.png", 5)
    with Image.new("RGBA", (64, 48), (255, 0, 0, 0)) as clear:
        clear.save(photos / "clear.png")
    clipdex("index", photos)
    (photos / "gone.png").unlink()
    ask = ("search", "x", "--collection", tmp_path / "collection", "--preview")
    for environment, decoded, _ in TERMINALS.values():
        shown = in_terminal(*ask, **environment)
        assert len(decoded(shown)) == 5
        assert shown.count(b"(no preview)") == 1
        assert b"_Ga=T;x" not in KITTY.sub(b"", shown).replace(b"\\x1b_Ga=T;x", b"")


@pytest.mark.parametrize(
    ("width", "height", "columns", "lines"),
    [
        (640, 480, 80, 12),
        (640, 480, 20, 7),
        (2000, 20, 80, 1),
        (4000, 500, 80, 5),
        (20, 2000, 80, 12),
        (30, 30, 80, 2),
        (1, 1, 80, 1),
    ],
)
def test_images_fit(width: int, height: int, columns: int, lines: int) -> None:
    assert lines_for(width, height, columns) == lines


def test_it_is_refused_where_images_cannot_be_shown(
    clipdex: Run, photos_indexed: tuple[Path, Path]
) -> None:
    ask = ("search", "a cat", "--collection", photos_indexed[1], "--preview")
    done = clipdex(*ask, code=2, env={"TERM": "xterm-kitty"})
    assert b"the output goes elsewhere" in done.stderr
    assert done.stdout == b""
    for form in ("--json", "--csv", "--paths", "--print0"):
        shown = in_terminal(*ask, form, code=2, TERM="xterm-kitty")
        assert f"{form} prints none".encode() in shown
    for environment in ({"TERM": "xterm-256color"}, {"TERM": "xterm-kitty", "TMUX": "/tmp/x,1,0"}):
        shown = flat(in_terminal(*ask, code=2, **environment))
        assert "does not know this terminal" in shown
        assert "CLIPDEX_PREVIEW" in shown
    assert "it is one of kitty, iterm2, sixel" in flat(
        in_terminal(*ask, code=2, CLIPDEX_PREVIEW="tek4014")
    )
    assert len(of_sixel(in_terminal(*ask, "-k", 1, CLIPDEX_PREVIEW="sixel"))) == 1


def flat(shown: bytes) -> str:
    """A message without the lines and the frame that it is broken into."""
    return " ".join(re.sub(r"[│╭╮╰╯─]", " ", shown.decode()).split())


@pytest.mark.parametrize(
    ("environment", "found"),
    [
        ({"TERM": "xterm-kitty"}, Protocol.KITTY),
        ({"TERM": "xterm-ghostty"}, Protocol.KITTY),
        ({"TERM": "xterm-256color", "KITTY_WINDOW_ID": "1"}, Protocol.KITTY),
        ({"TERM_PROGRAM": "ghostty"}, Protocol.KITTY),
        ({"TERM_PROGRAM": "iTerm.app"}, Protocol.ITERM2),
        ({"TERM_PROGRAM": "WezTerm", "TERM": "xterm-256color"}, Protocol.ITERM2),
        ({"LC_TERMINAL": "iTerm2"}, Protocol.ITERM2),
        ({"KONSOLE_VERSION": "230804"}, Protocol.ITERM2),
        ({"KONSOLE_VERSION": "210801"}, None),
        ({"TERM": "foot-extra"}, Protocol.SIXEL),
        ({"TERM": "mlterm-256color"}, Protocol.SIXEL),
        # A terminal that was started from another one inherits what that has set.
        ({"TERM_PROGRAM": "vscode", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM_PROGRAM": "Apple_Terminal"}, None),
        ({"TERM": "screen-256color", "KITTY_WINDOW_ID": "1"}, None),
        ({"TERM": "xterm-kitty", "TMUX": "/tmp/tmux-0/default,1,0"}, None),
        ({}, None),
    ],
    ids=str,
)
def test_terminals_are_known_by_their_variables(
    environment: dict[str, str], found: Protocol | None
) -> None:
    assert protocol_of(environment) is found
