"""Every command and every line of code of README and docs runs as it is written.

It runs in a scratch folder with the files that its page speaks of, and in the environment that its
section installs: without torch and open_clip, unless the section says that they are needed.
"""

import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from support.command import COMMAND
from support.pages import SHELL, blocks, pages
from support.shapes import draw, labelled
from support.text_encoders import FRESH, topics
from support.without import TORCH, without

# What is not run here, by the beginning of its line, and why.
NOT_RUN = {
    "make ": "makes environments from a package registry; the tests themselves run in one",
    "uv tool install": "installs from a package registry; test_wheel.py installs the wheel",
    "pip install": "installs from a package registry; test_wheel.py installs the wheel",
    "docker ": "needs Docker",
    "sudo ": "changes the system",
    "python3 -c 'import secrets": "test_home_server.py runs it",
    ".venv/bin/python -m scripts.torture": "takes hours; test_torture.py runs short forms",
    "clipdex index s3://": "needs a bucket; test_remote.py has one",
    "clipdex search a dog --in s3://": "of that bucket",
    "clipdex index https://": "needs a web server; test_remote.py has one",
    "clipdex index zip:///data": "needs archives; test_remote.py packs some",
    "clipdex index ./photos --engine ray --ray-gpus": "needs GPUs; test_ray_cluster.py counts some",
    "clipdex adapt text mine ./topics.csv --encoder": "needs a hub; test_text.py has a folder",
    "clipdex adapt tune both": "takes minutes; test_tune.py moves towers of a small model",
    "clipdex adapt compare": "trains for minutes; test_compare.py runs short forms",
    "export CLIPDEX_COLLECTION='postgresql": "needs a database; test_shared_store.py has one",
    "clipdex index /mnt/photos": "of that collection",
    "clipdex merge photos.clipdex --into": "of that collection",
    "clipdex models pull": "needs a hub; test_exports.py pulls from one of its own",
    "clipdex index ./photos --model immich-app/": "needs a hub, as above",
    "clipdex models add ./finetuned.safetensors": "compiles 600 MB; test_compiler.py compiles less",
    "clipdex models verify mine": "of that model",
    "clipdex index ./photos --model mine --collection ./my-index": "of that model",
}
# What needs torch, and so runs in a test of its own.
NEEDS_TORCH = (
    "clipdex models export",
    "clipdex models add ./pocket",
    "clipdex adapt domain",
    "clipdex label ./sketches",
    "clipdex adapt tune",
    "clipdex adapt text topics ./topics.csv --method",
    "clipdex index ./photos --model mine",
)
# Languages of blocks that nothing here could run.
NOT_CODE = {
    "json": "settings of another program",
    "sql": "run by tests/unit/indexer/store/postgres",
    "mermaid": "a drawing",
    "text": "what is printed",
}

ALL = [block for page in pages() for block in blocks(page)]
WITHOUT_TORCH = [
    "README.md",
    "docs/adaptation.md",
    "docs/models.md",
    "docs/scaling.md",
]


def reason(command: str) -> str | None:
    """Why a command is not run here; None if it is."""
    return next((why for start, why in NOT_RUN.items() if command.startswith(start)), None)


def needs_torch(command: str) -> bool:
    return command.startswith(NEEDS_TORCH) and reason(command) is None


@pytest.fixture(scope="module")
def scene(sample_photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the files that the pages speak of, dated as they say."""
    here = tmp_path_factory.mktemp("scene")
    names = sorted(
        file.name for file in sample_photos.iterdir() if file.suffix in (".jpg", ".png")
    )[:16]
    italy = here / "photos" / "2024" / "Italy"
    italy.mkdir(parents=True)
    moment = time.mktime((2024, 7, 14, 17, 3, 11, 0, 0, -1))
    for number, name in enumerate(names):
        copied = Path(shutil.copy(sample_photos / name, italy if number % 2 else italy.parent))
        os.utime(copied, (moment, moment))
    for name in ("tower.jpg", "holiday.jpg", "query.jpg", "wolf.jpg"):
        shutil.copy(sample_photos / "rocket.jpg", here / name)
    for seed, name in enumerate(("rex1.jpg", "rex2.jpg")):
        draw(here / name, "disc", seed)
    draw(here / "orchard" / "IMG_0815.jpg", "grain", 1)
    draw(here / "new" / "part.png", "disc", 50)
    topics(here / "topics.csv")
    (here / "fresh.txt").write_text("\n".join(FRESH))
    for seed in range(12):
        draw(here / "sketches" / f"{seed}.png", ("disc", "stripes")[seed % 2], 60 + seed)
    for folder in ("labelled", "everyday"):
        labelled(here / folder, range(4))
        (here / folder / "disc").rename(here / folder / "gear")
        (here / folder / "stripes").rename(here / folder / "bolt")
        shutil.rmtree(here / folder / "grain")
    rows = [f"labelled/{kind}/{n}.png,a {kind}" for kind in ("gear", "bolt") for n in range(4)]
    (here / "captions.csv").write_text("\n".join(["path,caption", *rows]))
    return here


class Shell:
    """Runs commands in a folder, one after the other, as a user would type them."""

    def __init__(self, here: Path, **environment: str) -> None:
        self.here = here
        with socket.socket() as free:
            free.bind(("", 0))  # one of the commands listens at all addresses
            self.port = free.getsockname()[1]
        tools = here / "tools"
        tools.mkdir(exist_ok=True)
        # An answer that is not a success is a failure here.
        curl = shutil.which("curl")
        (tools / "curl").write_text(f'#!/bin/sh\nexec {curl} --fail-with-body -sS "$@"\n')
        (tools / "curl").chmod(0o755)
        self.environment = {
            **os.environ,
            "PATH": f"{tools}:{Path(COMMAND).parent}:{os.environ['PATH']}",
            "CLIPDEX_COLLECTION": str(here / "collection"),
            "CLIPDEX_CACHE": str(here / "cache"),
            # The pages' port may be taken.
            "CLIPDEX_PORT": str(self.port),
            **environment,
        }

    def local(self, text: str) -> str:
        """Text with the address that a server has here."""
        return text.replace("127.0.0.1:8765", f"127.0.0.1:{self.port}")

    def run(self, command: str) -> None:
        if re.match(r"([A-Z_]+=\S+ )*clipdex serve", command):
            with self.served(command):
                return
        done = subprocess.run(
            ["bash", "-c", self.local(command)],
            cwd=self.here,
            env=self.environment,
            capture_output=True,
            timeout=600,
        )
        assert done.returncode == 0, (command, done.stdout, done.stderr)

    def served(self, command: str) -> "Running":
        return Running(self, command)

    def python(self, script: str) -> str:
        return subprocess.check_output(
            [sys.executable, "-c", self.local(script)],
            cwd=self.here,
            env=self.environment,
            text=True,
            timeout=600,
        )


class Running:
    """A server that was started by a command of a page, until the block ends."""

    def __init__(self, shell: Shell, command: str) -> None:
        self.shell = shell
        self.command = command

    def __enter__(self) -> None:
        self.process = subprocess.Popen(
            ["bash", "-c", f"exec env {self.command}"],
            cwd=self.shell.here,
            env=self.shell.environment,
            stderr=subprocess.DEVNULL,
        )
        for _ in range(600):
            assert self.process.poll() is None, self.command
            try:
                address = f"http://127.0.0.1:{self.shell.port}/healthz"
                assert httpx.get(address, timeout=60).status_code == 200
                return
            except httpx.TransportError:
                time.sleep(0.1)
        raise AssertionError(f"{self.command} does not answer")

    def __exit__(self, *exception: object) -> None:
        self.process.send_signal(signal.SIGINT)
        self.process.wait(timeout=60)


@pytest.fixture
def shell(scene: Path, tmp_path: Path) -> Shell:
    here = tmp_path / "here"
    shutil.copytree(scene, here)
    hook = without(tmp_path / "hook", *TORCH)
    return Shell(here, **hook)


def test_every_block_is_run_or_has_a_reason() -> None:
    for block in ALL:
        if block.language in NOT_CODE:
            continue
        assert block.language in (*SHELL, "python"), (block.page, block.line)
        run = block.page in (*WITHOUT_TORCH, "docs/api.md")
        for command in block.commands() if block.language in SHELL else ["python"]:
            assert run or reason(command), (block.page, block.line, command)
    for start in (*NOT_RUN, *NEEDS_TORCH):  # no reason is left over
        lines = [line for block in ALL for line in block.commands()]
        assert any(line.startswith(start) for line in lines), start


@pytest.mark.parametrize("page", WITHOUT_TORCH)
def test_a_page_runs_as_written(shell: Shell, page: str) -> None:
    shell.run("clipdex index ./photos ./orchard")
    server: Running | None = None
    for block in (one for one in ALL if one.page == page):
        if block.language == "python":
            assert shell.python(block.text).strip()
        if block.language not in SHELL:
            continue
        commands = [one for one in block.commands() if not (reason(one) or needs_torch(one))]
        for command in commands:
            if "clipdex serve" in command and command != commands[-1]:
                server = shell.served(command)  # the lines below it ask it
                server.__enter__()
                continue
            shell.run(command)
        if server is not None:
            server.__exit__()
            server = None


def test_the_api_page_runs_as_written(shell: Shell) -> None:
    pytest.importorskip("openai")
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    page = [block for block in ALL if block.page == "docs/api.md"]
    shell.run("clipdex index ./photos ./orchard")
    shell.run("clipdex adapt train parts ./labelled")
    shell.run("clipdex adapt text topics ./topics.csv")
    for block in page:
        if block.language == "indented":
            for command in block.commands():
                shell.run(command)
    scripts = [block.text for block in page if block.language == "python"]
    with shell.served("clipdex serve --allow-index ./photos"):
        jobs = f"http://127.0.0.1:{shell.port}/v1/jobs"
        for block in page:
            if block.language != "sh":
                continue
            for command in block.commands():
                if reason(command):
                    continue
                if "4e45d52e4b5e" in command:
                    command = command.replace(
                        "4e45d52e4b5e", httpx.get(jobs).json()["jobs"][0]["id"]
                    )
                shell.run(command.replace("/home/me/photos", str(shell.here / "photos")))
        while httpx.get(jobs).json()["jobs"][0]["state"] in ("queued", "running"):
            time.sleep(0.1)
        shell.python("\n".join(scripts))
        assert (shell.here / "small.webp").read_bytes()[8:12] == b"WEBP"


@pytest.mark.long
def test_commands_that_need_torch_run_as_written(scene: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch")
    here = tmp_path / "here"
    shutil.copytree(scene, here)
    shell = Shell(here)
    shell.run("clipdex index ./photos")
    for block in ALL:
        for command in block.commands() if block.language in SHELL else ():
            if needs_torch(command):
                shell.run(command)
