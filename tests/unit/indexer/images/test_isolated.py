import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from io import BytesIO
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from indexer.errors import ImageError, ImageFormatUnknown, ImageTooLarge
from indexer.images.decode import Limits, Prepared, decode, prepare
from indexer.images.decode_here import decode_here
from indexer.images.formats import FUZZED
from indexer.images.isolated import child as children
from indexer.images.isolated import pool as pools
from indexer.images.isolated.pool import POOL, Pool
from indexer.images.memory_budget import Budget
from indexer.images.preprocess import Preprocess
from support.command import REPOSITORY
from support.hostile import crashing_heic, heic_with_text, is_running
from support.images import NAMES, WRITERS, pgm16, saved
from support.waiting import wait_until

posix = pytest.mark.skipif(os.name != "posix", reason="signals")
linux = pytest.mark.skipif(sys.platform != "linux", reason="limits on memory, and /proc")
MODEL = Preprocess((32, 48))
MODULE = "import os, time; import indexer.images.isolated.decoder_process as p; "
Start = Callable[[str], Pool]


def free(width: int, height: int, size: int) -> None:
    """A claim on unlimited memory."""


@pytest.fixture
def image() -> Image.Image:
    values = np.random.default_rng(1).integers(0, 256, (7, 9, 3), np.uint8)
    return Image.fromarray(values).resize((301, 203), Image.Resampling.BICUBIC)


@pytest.fixture
def ppm(image: Image.Image) -> bytes:
    return saved(image, "PPM")


@pytest.fixture
def start() -> Iterator[Start]:
    """Start a pool whose processes run a statement before they serve."""
    started = []

    def begin(statement: str = "") -> Pool:
        started.append(Pool(MODULE + statement + "\np.main({alive})"))
        return started[-1]

    yield begin
    for pool in started:
        pool.close()


@pytest.mark.parametrize("format_name", WRITERS)
def test_a_child_decodes_what_this_process_would(image: Image.Image, format_name: str) -> None:
    data, name = WRITERS[format_name](image), NAMES.get(format_name, b"")
    here = decode_here(data, Limits(), free, at_least=MODEL.size, name=name)
    there = decode(data, Limits(), at_least=MODEL.size, name=name)
    assert np.array_equal(here.image, there.image)
    assert there.image.mode == "RGB"
    for found in (there, prepare(data, Limits(), MODEL, name=name)):
        for field in ("width", "height", "format", "captured", "notes"):
            assert getattr(found, field) == getattr(here, field)
    expected = Prepared.of(here, MODEL)
    prepared = prepare(data, Limits(), MODEL, name=name)
    assert np.array_equal(prepared.pixels, expected.pixels)
    assert prepared.thumbnail == expected.thumbnail


def test_a_child_says_when_a_photo_was_taken(image: Image.Image) -> None:
    exif = Image.Exif()
    exif[0x0132] = "2024:07:14 12:30:05"
    data = saved(image, "TIFF", exif=exif)
    found = prepare(data, Limits(), MODEL)
    assert found.captured is not None
    assert found.captured == decode_here(data, Limits(), free).captured


@pytest.mark.parametrize("format_name", FUZZED)
def test_fuzzed_formats_start_no_process(
    image: Image.Image, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Pool, "_take", lambda self: pytest.fail("a process"))
    data = saved(image, format_name)
    assert prepare(data, Limits(), MODEL).format == format_name
    with pytest.raises(ImageError):
        prepare(data[:20], Limits(), MODEL)


def test_only_fuzzed_decoders_are_tried_in_this_process(
    image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    tried = []
    real = Image.open

    def opened(file: object, formats: object = None) -> Image.Image:
        tried.append(formats)
        return real(file, formats=formats)  # type: ignore[arg-type]

    monkeypatch.setattr(Image, "open", opened)
    for format_name in FUZZED:
        data = saved(image, format_name)
        for part in (data, data[: len(data) // 2], data[:30]):
            for name in (b"", b"a.dng", b"a.heic"):
                try:
                    decode(part, Limits(), name=name)
                except ImageError:
                    continue
    assert set(tried) == {FUZZED}


@pytest.mark.parametrize(
    ("data", "limits"),
    [
        (b"no image", Limits()),
        (b"II*\0\x08" + b"\0" * 60, Limits()),
        (b"\0\0\0\x18ftypheic" + b"\0" * 60, Limits()),
        (b"\0\0\0\x18ftypavif" + b"\0" * 60, Limits()),
        (b"\xff\x4f\xff\x51" + b"\1" * 80, Limits()),
        (b"P6\n9 9\n255\n" + b"\0" * 9, Limits()),
        (pgm16(np.zeros((30, 40), np.uint16)), Limits(max_pixels=1199)),
        (b"", Limits()),
    ],
)  # fmt: skip
def test_errors_are_those_of_this_process(data: bytes, limits: Limits) -> None:
    with pytest.raises(ImageError) as here:
        decode_here(data, limits, free)
    for ask in (lambda: decode(data, limits), lambda: prepare(data, limits, MODEL)):
        with pytest.raises(ImageError) as there:
            ask()
        assert type(there.value) is type(here.value)
        assert str(there.value) == str(here.value)


@posix
def test_a_crash_is_this_files_failure(image: Image.Image) -> None:
    with pytest.raises(ImageError, match=r"^its HEIC decoder crashed \(SIG[A-Z]+\)$"):
        prepare(crashing_heic(image), Limits(), MODEL)
    assert prepare(heic_with_text(image), Limits(), MODEL).format == "HEIF"


@posix
@pytest.mark.parametrize(
    ("statement", "reason"),
    [
        ("os.kill(os.getpid(), 11)", r"its PNM decoder crashed \(SIGSEGV\)"),
        ("os.abort()", r"its PNM decoder crashed \(SIGABRT\)"),
        ("os.kill(os.getpid(), 9)", r"its PNM decoder was killed \(SIGKILL\), perhaps for lack of"),
        ("os._exit(7)", r"its PNM decoder ended \(exit status 7\)"),
    ],
)
def test_how_a_process_ended_is_told(start: Start, ppm: bytes, statement: str, reason: str) -> None:
    pool = start(f"p.decode_here = lambda *a, **k: {statement}")
    with pytest.raises(ImageError, match=reason):
        pool.decode(ppm, Limits(), free)


@posix
def test_a_file_is_tried_once_more(start: Start, ppm: bytes, tmp_path: Path) -> None:
    mark = tmp_path / "killed"
    pool = start(
        f"import pathlib; mark = pathlib.Path({str(mark)!r}); real = p.decode_here\n"
        "p.decode_here = lambda *a, **k: real(*a, **k) if mark.exists() else "
        "(mark.touch(), os.kill(os.getpid(), 9))"
    )
    assert pool.decode(ppm, Limits(), free).format == "PPM"
    assert mark.exists()


@posix
def test_a_process_that_was_killed_while_idle_is_replaced(start: Start, ppm: bytes) -> None:
    pool = start()
    pool.decode(ppm, Limits(), free)
    (idle,) = pool._idle
    os.kill(idle.pid, signal.SIGKILL)
    assert pool.decode(ppm, Limits(), free).format == "PPM"
    assert [child.pid for child in pool._idle] != [idle.pid]


def test_a_process_is_used_again(start: Start, ppm: bytes) -> None:
    pool = start()
    pool.decode(ppm, Limits(), free)
    (first,) = pool._idle
    with pytest.raises(ImageFormatUnknown):
        pool.decode(b"no image", Limits(), free)
    pool.prepare(ppm, Limits(), free, MODEL, name=b"")
    assert pool._idle == [first]


@pytest.mark.parametrize(
    "statement",
    [
        "time.sleep(1000)",
        "print(1 if p.re.match('(a+)+$', 'a' * 60 + 'b') else 0)",
        pytest.param("os.kill(os.getpid(), 19)", marks=linux),
    ],
    ids=["sleeps", "holds the interpreter", "stopped"],
)
def test_a_file_that_takes_too_long_fails(
    start: Start, ppm: bytes, monkeypatch: pytest.MonkeyPatch, statement: str
) -> None:
    monkeypatch.setattr(children, "SECONDS", 1)
    monkeypatch.setattr(pools, "TICK", 0.05)
    pool = start(f"import re; p.re = re; p.decode_here = lambda *a, **k: {statement}")
    with pytest.raises(ImageError, match=r"^its PNM decoder took too long$"):
        pool.decode(ppm, Limits(), free)
    assert not pool._idle


@linux
def test_memory_is_limited_to_what_was_claimed(start: Start, ppm: bytes) -> None:
    take = "p.decode_here = lambda data, limits, claim, **k: (claim(9, 9, 10 << 20), bytearray({}))"
    with pytest.raises(ImageError, match="^too large for this machine's memory$"):
        start(take.format("1 << 36")).decode(ppm, Limits(), free)
    before = "p.decode_here = lambda *a, **k: bytearray(1 << 36)"
    with pytest.raises(ImageError, match="^too large for this machine's memory$"):
        start(before).decode(ppm, Limits(), free)


@pytest.mark.parametrize("format_name", [*WRITERS, *FUZZED, "TIFF"])
def test_more_than_the_budget_is_refused(
    image: Image.Image, format_name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("indexer.images.decode.BUDGET", Budget(100))
    writer = WRITERS.get(format_name, lambda image: saved(image, format_name))
    with pytest.raises(ImageTooLarge, match=r"GiB to decode, above the limit of 0\.0 GiB \(half"):
        prepare(writer(image), Limits(), MODEL, name=NAMES.get(format_name, b""))


def test_what_was_claimed_is_given_back(
    image: Image.Image, monkeypatch: pytest.MonkeyPatch
) -> None:
    budget = Budget(10**9)
    monkeypatch.setattr("indexer.images.decode.BUDGET", budget)
    for data in (saved(image, "PPM"), saved(image, "PNG"), crashing_heic(image), b"no image"):
        try:
            decode(data, Limits())
        except ImageError:
            continue
    assert budget._used == 0


@pytest.mark.parametrize(
    "answer",
    [
        "{}, b''",
        "{'size': [3, 3], 'width': 3}, bytes(27)",
        "{**m, 'size': [10**9, 10**9]}, *b",
        "{**m, 'size': [-1, -3]}, *b",
        "{**m, 'size': [True, 1]}, *b",
        "{**m, 'size': 'abc'}, *b",
        "m, bytes(10**7)",
        "{**m, 'width': 1.5}, *b",
        "{**m, 'notes': [1]}, *b",
        "{**m, 'notes': ['x' * 5000]}, *b",
        "{**m, 'captured': [1e400, None]}, *b",
        "{**m, 'captured': [2**70, None]}, *b",
        "{**m, 'format': None}, *b",
        "{'error': 7},",
        "{'claim': [1, 2]},",
        "{'claim': [1, 2, -3]},",
        "{'x': 'y' * 100000},",
    ],
)
def test_senseless_answers_are_refused(start: Start, ppm: bytes, answer: str) -> None:
    pool = start(f"real = p.send; p.send = lambda s, m, *b: real(s, {answer})")
    with pytest.raises(ImageError, match="^its PNM decoder gave no sensible answer$"):
        pool.decode(ppm, Limits(), free)
    assert not pool._idle


def test_text_from_a_process_can_be_stored(start: Start, ppm: bytes) -> None:
    pool = start("real = p.send; p.send = lambda s, m, *b: real(s, {'error': '\\ud800'})")
    with pytest.raises(ImageError) as error:
        pool.decode(ppm, Limits(), free)
    assert str(error.value).encode()


def test_what_a_decoder_prints_is_not_an_answer(
    start: Start, ppm: bytes, capfd: pytest.CaptureFixture[str]
) -> None:
    pool = start(
        "real = p.decode_here\n"
        "p.decode_here = lambda *a, **k: "
        "(os.write(1, b'warning'), os.write(2, b'warning'), real(*a, **k))[2]"
    )
    assert pool.decode(ppm, Limits(), free).format == "PPM"
    assert capfd.readouterr() == ("", "")


def test_the_current_folder_is_not_imported(
    ppm: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "PIL.py").write_text("raise SystemExit(5)")
    (tmp_path / "json.py").write_text("raise SystemExit(5)")
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend("")
    pool = Pool()
    assert pool.decode(ppm, Limits(), free).format == "PPM"
    pool.close()


def test_a_process_loads_no_model(start: Start, ppm: bytes) -> None:
    pool = start(
        "import sys\n"
        "p.decode_here = lambda *a, **k: "
        "os._exit(9 if {'torch', 'onnxruntime', 'faiss'} & set(sys.modules) else 8)"
    )
    with pytest.raises(ImageError, match="exit status 8"):
        pool.decode(ppm, Limits(), free)


def test_threads_decode_at_one_time(start: Start, ppm: bytes, tmp_path: Path) -> None:
    """Each of two decodes waits for the other to have begun."""
    pool = start(
        f"import pathlib; here = pathlib.Path({str(tmp_path)!r}); real = p.decode_here\n"
        "def both(*a, **k):\n"
        "    (here / str(os.getpid())).touch()\n"
        "    while len(list(here.iterdir())) < 2: time.sleep(0.01)\n"
        "    return real(*a, **k)\n"
        "p.decode_here = both"
    )
    found = []
    threads = [
        threading.Thread(target=lambda: found.append(pool.decode(ppm, Limits(), free)))
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 2


@posix
def test_an_interrupted_decode_takes_no_other_answer(
    start: Start, ppm: bytes, image: Image.Image
) -> None:
    pool = start()

    def interrupted(*_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pool.decode(ppm, Limits(), interrupted)
    assert not pool._idle
    assert pool.decode(saved(image, "JPEG2000"), Limits(), free).format == "JPEG2000"


ORPHAN = """
import os, sys, threading
from indexer.images.decode import Limits
from indexer.images.isolated.pool import Pool
pool = Pool(sys.argv[1])
def told(*claim):
    print(*[child.pid for child in pool._busy], flush=True)
pool.decode(b"P6 3 3 255 " + bytes(27), Limits(), told)
print(*[child.pid for child in pool._idle], flush=True)
sys.stdin.read()
"""


@linux
@pytest.mark.parametrize(
    "statement",
    [
        "",
        "p.decode_here = lambda d, l, claim, **k: (claim(1, 1, 1), time.sleep(1000))",
        "import re; p.decode_here = lambda d, l, claim, **k: "
        "(claim(1, 1, 1), re.match('(a+)+$', 'a' * 60 + 'b'))",
    ],
    ids=["idle", "busy", "hung"],
)
def test_no_process_outlives_a_killed_parent(statement: str) -> None:
    entry = MODULE + statement + "\np.main({alive})"
    parent = subprocess.Popen(
        [sys.executable, "-c", ORPHAN, entry],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert parent.stdout is not None
    assert parent.stdin is not None
    with parent.stdout, parent.stdin:
        pid = int(parent.stdout.readline())
        if not statement:
            assert int(parent.stdout.readline()) == pid
        assert is_running(pid)
        parent.kill()
        parent.wait()
        wait_until(lambda: not is_running(pid))


@linux
def test_a_forked_process_has_children_of_its_own(ppm: bytes) -> None:
    assert decode(ppm, Limits()).format == "PPM"
    before = {child.pid for child in POOL._idle}
    assert before
    script = (
        "import os, sys\n"
        "from indexer.images.decode import Limits, decode\n"
        "from indexer.images.isolated.pool import POOL\n"
        "ppm = b'P6 3 3 255 ' + bytes(27)\n"
        "decode(ppm, Limits()); (mine,) = POOL._idle; child = os.fork()\n"
        "decode(ppm, Limits()); (now,) = POOL._idle\n"
        "if not child: os._exit(mine.pid == now.pid)\n"
        "sys.exit(os.waitpid(child, 0)[1] or mine.pid != now.pid)"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0


def test_all_channels_of_a_tiff_are_claimed() -> None:
    tifffile = pytest.importorskip("tifffile")
    channels, buffer, claimed = np.ones((300, 16, 16), np.uint16), BytesIO(), []
    tifffile.imwrite(buffer, channels, photometric="minisblack", planarconfig="separate")
    decode_here(buffer.getvalue(), Limits(), lambda *claim: claimed.append(claim))
    assert claimed[-1][:2] == (16, 16)
    assert claimed[-1][2] > channels.nbytes


def test_an_image_without_pixels_is_damaged() -> None:
    data = saved(Image.new("RGB", (8, 8)), "TIFF")
    at = data.index(b"\x01\x01\x04\x00")  # its height
    data = data[: at + 8] + b"\0\0\0\0" + data[at + 12 :]
    with pytest.raises(ImageError, match="^damaged: it has no pixels$"):
        prepare(data, Limits(), MODEL)


def test_a_child_is_replaced_once_it_has_decoded_many_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("indexer.images.isolated.pool.MAX_FILES", 3)
    ppm = b"P6 2 2 255 " + bytes(range(12))
    POOL.close()
    seen = []
    for _ in range(7):
        decode(ppm, Limits())
        seen.append([child.pid for child in POOL._idle])
    first, again, gone = seen[0], seen[1], seen[2]
    assert len(first) == 1
    assert first == again
    assert gone == []
    assert seen[3] == seen[4] != first
    assert len({tuple(pids) for pids in seen if pids}) == 3
