"""Stage 1: bring the sources here, each at its commit."""

import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

from .places import CACHE, EXCLUDE, MIRROR
from .sources import GITHUB, SOURCES, Source


def fetch() -> None:
    """Fetch every source that is not here yet and not excluded."""
    for source in SOURCES:
        if source.name in EXCLUDE or source.origin == "local":
            continue
        if source.origin.startswith("debian:"):
            _debian(source)
        elif source.origin.startswith("pypi:"):
            _pypi(source)
        else:
            repository(source)


def folder(source: Source) -> Path:
    """Return the folder of a package that was unpacked."""
    return CACHE / "packages" / source.name


def repository(source: Source) -> Path:
    """Return the git directory that holds a source's commit, fetching that commit if need be."""
    owner_name = source.origin.removeprefix(GITHUB)
    if MIRROR:
        mirrored = Path(MIRROR) / owner_name.replace("/", "+") / "repo"
        for git in (mirrored, mirrored / ".git"):
            if (git / "HEAD").is_file():
                return git
    git = CACHE / "git" / owner_name.replace("/", "+")
    if not (git / "fetched").is_file():
        subprocess.run(["git", "init", "--quiet", "--bare", git], check=True)
        subprocess.run(
            ["git", "-C", git, "fetch", "--depth", "1", source.origin, source.commit], check=True
        )
        (git / "fetched").touch()
    return git


def files(source: Source, suffixes: tuple[str, ...], under: str = "") -> dict[str, str]:
    """Return the blob of each path of a source's commit that ends in one of the suffixes."""
    listing = subprocess.run(
        ["git", "--git-dir", repository(source), "ls-tree", "-r", "-z", source.commit],
        check=True,
        capture_output=True,
        text=True,
    ).stdout
    found = {}
    for line in listing.split("\0")[:-1]:
        about, path = line.split("\t")
        if path.startswith(under) and path.lower().endswith(suffixes):
            found[path] = about.split()[2]
    return found


def blobs(source: Source, names: list[str]) -> Iterator[bytes]:
    """Yield the content of blobs, in order, from one git process."""
    git = subprocess.Popen(
        ["git", "--git-dir", repository(source), "cat-file", "--batch"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    assert git.stdin is not None
    assert git.stdout is not None
    for name in names:
        git.stdin.write(f"{name}\n".encode())
        git.stdin.flush()
        header = git.stdout.readline().split()
        if header[1] == b"missing":
            raise FileNotFoundError(f"{source.origin} {source.commit}: no blob {name}")
        yield git.stdout.read(int(header[2]))
        git.stdout.read(1)
    git.stdin.close()
    git.wait()


def text(source: Source, path: str) -> str:
    """Return one text file of a source's commit."""
    done = subprocess.run(
        ["git", "--git-dir", repository(source), "show", f"{source.commit}:{path}"],
        check=True,
        capture_output=True,
    )
    return done.stdout.decode("utf-8", "replace")


def _debian(source: Source) -> None:
    target = folder(source)
    if (target / "usr").is_dir():
        return
    target.mkdir(parents=True, exist_ok=True)
    names = source.origin.removeprefix("debian:").split()
    subprocess.run(["apt-get", "download", *names], check=True, cwd=target)
    for package in target.glob("*.deb"):
        subprocess.run(["dpkg", "-x", package, target], check=True)


def _pypi(source: Source) -> None:
    target = folder(source)
    if target.is_dir():
        return
    target.mkdir(parents=True)
    name = source.origin.removeprefix("pypi:")
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--no-deps",
            "--dest",
            target,
            f"{name}=={source.commit}",
        ],
        check=True,
    )
    for wheel in target.glob("*.whl"):
        with zipfile.ZipFile(wheel) as opened:
            opened.extractall(target)
