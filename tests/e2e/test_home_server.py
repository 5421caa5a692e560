"""The files of docs/home-server.md: what they start runs, and is reached through real proxies."""

import configparser
import os
import re
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from support.below_a_path import use_everything
from support.command import COMMAND, REPOSITORY
from support.images import make_photo
from support.servers import Served, serving
from support.waiting import wait_until

FILES = REPOSITORY / "docs" / "home-server"
KEY = "secret"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return int(free.getsockname()[1])


@pytest.fixture(scope="module")
def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    parsed = yaml.safe_load((FILES / "compose.yaml").read_text())
    service: dict[str, Any] = parsed["services"]["clipdex"]
    assert set(parsed["volumes"]) == {"collection"}
    return service


@pytest.fixture(scope="module")
def unit() -> configparser.ConfigParser:
    parser = configparser.ConfigParser(delimiters="=", comment_prefixes="#", interpolation=None)
    parser.optionxform = str  # type: ignore[assignment,method-assign]
    parser.read(FILES / "clipdex.service")
    return parser


def started(command: str, photos: Path, collection: Path, **environment: str) -> None:
    """Start what a file starts, with other folders, and find a photo in it."""
    program, serve, *options = shlex.split(command)
    assert (os.path.basename(program), serve) == ("clipdex", "serve")
    given = [str(photos) if option.endswith("/photos") else option for option in options]
    assert str(photos) in given
    with serving(collection, *given, CLIPDEX_API_KEY=KEY, **environment) as server:

        def found() -> bool:
            answer = server.get("/v1/status", headers={"Authorization": f"Bearer {KEY}"})
            return answer.status_code == 200 and answer.json()["images"] == 3

        wait_until(found)
        assert server.get("/v1/status").status_code == 401


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    for seed in range(3):
        make_photo(tmp_path / "photos" / f"{seed}.png", seed)
    return tmp_path / "photos"


def test_the_container_starts_and_may_do_little(
    compose: dict[str, Any], photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("watchfiles")
    started(compose["command"], photos, tmp_path / "c")
    assert compose["read_only"] is True
    assert compose["user"] == "1000:1000"
    assert compose["cap_drop"] == ["ALL"]
    assert compose["security_opt"] == ["no-new-privileges:true"]
    assert (FILES / compose["build"]).resolve() == REPOSITORY
    targets = {volume.rpartition(":/")[2]: volume for volume in compose["volumes"]}
    assert set(targets) == {"photos:ro", "collection"}
    assert compose["environment"]["CLIPDEX_API_KEY"].startswith("${CLIPDEX_API_KEY:?")
    image = (REPOSITORY / "Dockerfile").read_text()
    assert "--uid 1000" in image
    assert "ENV CLIPDEX_COLLECTION=/collection" in image
    assert all(address.startswith("127.0.0.1:") for address in compose["ports"])


def test_the_health_check_tells_a_server_from_none(compose: dict[str, Any], served: Served) -> None:
    kind, python, *code = compose["healthcheck"]["test"]
    assert (kind, python) == ("CMD", "python")
    for port, codes in ((served.port, {0}), (free_port(), {1})):
        check = [sys.executable, *(part.replace("8765", str(port)) for part in code)]
        assert subprocess.run(check, capture_output=True).returncode in codes


def test_the_unit_starts_and_is_allowed_what_it_writes(
    unit: configparser.ConfigParser, photos: Path, tmp_path: Path
) -> None:
    pytest.importorskip("watchfiles")
    service = unit["Service"]
    started(service["ExecStart"], photos, tmp_path / "c")
    variables = dict(one.split("=") for one in service["Environment"].split())
    assert variables == {
        "CLIPDEX_COLLECTION": f"/var/lib/{service['StateDirectory']}",
        "CLIPDEX_CACHE": f"/var/cache/{service['CacheDirectory']}",
    }
    assert service["ProtectSystem"] == "strict"
    assert service["CapabilityBoundingSet"] == ""


def test_the_unit_counts_being_ended_as_success(
    unit: configparser.ConfigParser, photos_indexed: tuple[Path, Path], tmp_path: Path
) -> None:
    collection = Path(shutil.copytree(photos_indexed[1], tmp_path / "c"))
    with serving(collection) as server:
        server.process.terminate()
        code = server.process.wait(timeout=60)
    assert str(code) == unit["Service"]["SuccessExitStatus"]


def test_systemd_takes_the_unit(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed")
    text = (FILES / "clipdex.service").read_text()
    text = text.replace("/opt/clipdex/bin/clipdex", str(COMMAND))
    (tmp_path / "clipdex.service").write_text(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", tmp_path / "clipdex.service"], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert "clipdex.service" not in done.stderr


def test_a_key_is_made() -> None:
    page = (REPOSITORY / "docs" / "home-server.md").read_text()
    (command,) = re.findall(r"(?m)^python3 (-c .*)$", page)
    made = subprocess.check_output([sys.executable, *shlex.split(command)], text=True)
    assert re.fullmatch(r"[\w-]{40,}\n", made)


@pytest.fixture
def shown(photos_indexed: tuple[Path, Path], tmp_path: Path) -> Iterator[Served]:
    """A server with the options that the proxies' files name, and many photos to index."""
    collection = Path(shutil.copytree(photos_indexed[1], tmp_path / "c"))
    for seed in range(200):
        make_photo(tmp_path / "more" / f"{seed}.png", seed)
    texts = [(FILES / name).read_text() for name in ("nginx.conf", "Caddyfile")]
    (options,) = {re.findall(r"--root-path [^\n]*", text)[0] for text in texts}
    folders = ("--allow-index", tmp_path / "more", "--allow-index", photos_indexed[0])
    with serving(collection, *options.split(), "--api-key", KEY, *folders) as server:
        yield server


@contextmanager
def running(command: list[object], url: str, **environment: str) -> Iterator[str]:
    process = subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        env={**os.environ, **environment},
    )
    try:
        deadline = time.monotonic() + 30
        while True:
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < deadline
            try:
                httpx.get(url, timeout=10)
                break
            except httpx.TransportError:
                time.sleep(0.05)
        yield url
    finally:
        process.terminate()
        process.communicate(timeout=30)


@contextmanager
def by_nginx(port: int, server: Served, folder: Path) -> Iterator[str]:
    """The URL of nginx with docs/home-server/nginx.conf, without TLS and at another port."""
    text = (FILES / "nginx.conf").read_text()
    text = re.sub(r"(?m)^ *ssl_.*$", "", text).replace("listen 443 ssl", f"listen 127.0.0.1:{port}")
    text = text.replace("http://127.0.0.1:8765", server.url)
    places = "".join(
        f"{kind}_temp_path {folder / kind};\n"
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    (folder / "nginx.conf").write_text(
        f"pid {folder}/pid;\nerror_log stderr;\nevents {{}}\n"
        f"http {{\naccess_log off;\n{places}{text}}}\n"
    )
    command = ["nginx", "-p", folder, "-c", folder / "nginx.conf", "-g", "daemon off;"]
    with running(command, f"http://127.0.0.1:{port}") as url:
        yield url


@contextmanager
def by_caddy(port: int, server: Served, folder: Path) -> Iterator[str]:
    """The URL of Caddy with docs/home-server/Caddyfile, without TLS and at another port."""
    text = (FILES / "Caddyfile").read_text()
    text = text.replace("photos.example {", f"http://:{port} {{\n\tbind 127.0.0.1")
    text = text.replace("127.0.0.1:8765", server.url.removeprefix("http://"))
    (folder / "Caddyfile").write_text("{\n\tadmin off\n}\n" + text)
    command = ["caddy", "run", "--adapter", "caddyfile", "--config", folder / "Caddyfile"]
    home = {"HOME": str(folder), "XDG_DATA_HOME": str(folder), "XDG_CONFIG_HOME": str(folder)}
    with running(command, f"http://127.0.0.1:{port}", **home) as url:
        yield url


Proxy = Callable[[int, Served, Path], Any]


@pytest.mark.parametrize("proxy", [by_nginx, by_caddy])
def test_everything_works_behind_a_proxy(shown: Served, tmp_path: Path, proxy: Proxy) -> None:
    program = proxy.__name__.removeprefix("by_")
    if shutil.which(program) is None:
        pytest.skip(f"{program} is not installed")
    with proxy(free_port(), shown, tmp_path) as url:
        use_everything(url, "/photos", KEY)
        with httpx.Client(base_url=url, headers={"Authorization": f"Bearer {KEY}"}) as client:
            # By the name that browsers use; the server names the client, not the proxy.
            named = {"Host": "photos.example"}
            assert client.get("/photos/", headers=named).status_code == 200
            assert client.get("/photos", follow_redirects=False).status_code == 308
            assert client.get("/photos/", headers={"Host": "evil.example"}).status_code == 421
            # Events come while the job runs that was started last.
            (job, *_) = client.get("/photos/v1/jobs").json()["jobs"]
            with client.stream("GET", f"/photos/v1/jobs/{job['id']}/events", timeout=60) as stream:
                first = next(stream.iter_text())
                now = shown.get(f"/v1/jobs/{job['id']}", headers=dict(client.headers))
                assert first.startswith("event: progress")
                assert now.json()["state"] in ("queued", "running")
            client.delete(f"/photos/v1/jobs/{job['id']}")
