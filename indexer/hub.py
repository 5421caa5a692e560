"""Downloads files of a Hugging Face hub, with resuming, checksums and limits.

Only models that the user named are downloaded. `HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME` are used,
and files in the hub's own cache. `hf_hub_download` of huggingface_hub 2.4 starts again when its
process ends and checks the size only, so weights are downloaded here (docs/decisions/0023).
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from indexer.bundles.cache import cache_folder
from indexer.bundles.graphs import is_inside
from indexer.errors import DownloadError, DownloadInterrupted
from indexer.model_name import CONFIG

CHUNK = 1 << 20
# Files of one model that are downloaded at once.
PARALLEL = 4
# Seconds between two looks at how far downloads are.
INTERVAL = 0.25
# What a hub says of a repository, and what a configuration may have at most.
MAX_FILES = 20_000
ADD_FOLDER = "run `clipdex models add FOLDER`"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository, as the hub lists it; `size` is in bytes."""

    repo: str
    name: str
    revision: str | None
    size: int


class Hub:
    """Downloads the files of one model."""

    def __init__(
        self,
        *,
        sha256: str | None = None,
        on_progress: Callable[[str], None] = lambda line: None,
        on_bytes: Callable[[int, int], None] = lambda done, of: None,
    ) -> None:
        """Prepare downloads.

        Args:
            sha256: The expected checksum of the weights, in addition to the hub's.
            on_progress: Called with a line of text for each download.
            on_bytes: Called with how many bytes of several files are there, and of how many.
        """
        self.sha256 = sha256
        self.on_progress = on_progress
        self.on_bytes = on_bytes
        self._folders: list[Path] = []
        self._stopped = False

    def files(
        self, repo: str, revision: str | None = None, *, way_out: str = ADD_FOLDER
    ) -> dict[str, RemoteFile]:
        """Return the files of a repository, by their paths.

        Args:
            repo: "organization/name".
            revision: Of the repository; None for its main branch.
            way_out: What to do with the files where there is no network, for the error.

        Raises:
            DownloadError: The hub cannot be asked, or does not have it, or its answer is not one.
        """
        from huggingface_hub import HfApi

        url = f"{_endpoint()}/{repo}"
        listed: dict[str, RemoteFile] = {}
        try:
            answer = HfApi(endpoint=_endpoint()).model_info(
                repo, revision=revision, files_metadata=True
            )
            for one in (answer.siblings or [])[:MAX_FILES]:
                size = one.size if isinstance(one.size, int) else 0
                name = str(one.rfilename)
                if is_inside(name) and size >= 0:
                    listed[name] = RemoteFile(repo, name, revision, size)
        except Exception as exc:  # of httpx and huggingface_hub, and of an answer that is no JSON
            raise DownloadError(_refused(url, exc, way_out)) from exc
        return listed

    def fetch_all(self, files: Mapping[str, RemoteFile], way_out: str) -> dict[str, Path]:
        """Download several files, a few at once, and say how far that is.

        Args:
            files: The files, by any key.
            way_out: As of `fetch`.

        Returns:
            Where each is now.

        Raises:
            DownloadError: One cannot be downloaded, or is another than the hub announced.
        """
        total = sum(file.size for file in files.values())
        self.on_progress(f"downloading {len(files):,} files, {total / 1e6:,.0f} MB")
        with ThreadPoolExecutor(PARALLEL) as pool:
            asked = {
                key: pool.submit(
                    self.fetch, file.repo, file.name, way_out,
                    revision=file.revision, size=file.size,
                )
                for key, file in files.items()
            }  # fmt: skip
            waiting = set(asked.values())
            try:
                while waiting:
                    done, waiting = wait(waiting, INTERVAL, FIRST_EXCEPTION)
                    for one in done:
                        one.result()
                    self.on_bytes(min(self._arrived(), total), total)
            except BaseException:
                self._stopped = True
                pool.shutdown(wait=True, cancel_futures=True)
                raise
        return {key: path for key, one in asked.items() if (path := one.result())}

    def _arrived(self) -> int:
        sizes = []
        for folder in list(self._folders):
            for file in folder.rglob("*"):
                with suppress(OSError):  # renamed meanwhile
                    sizes.append(file.stat().st_size if file.is_file() else 0)
        return sum(sizes)

    def weights(self, repo: str, names: Sequence[str], way_out: str) -> Path:
        """Download the first of some files that the repository has.

        Args:
            repo: "organization/name".
            names: The files, in order of preference.
            way_out: What to do with the file where there is no network, for the error.

        Raises:
            DownloadError: There is no such file, or it cannot be downloaded.
        """
        for name in names:
            file = self.fetch(repo, name, way_out, sha256=self.sha256, missing_ok=True)
            if file is not None:
                return file
        raise DownloadError(
            f"the hub's repository {repo} has none of {', '.join(names)}: it is not a model in "
            "open_clip's layout"
        )

    def checkpoint(self, repo: str, names: Sequence[str]) -> tuple[Path, Path]:
        """Download the configuration and the weights of a repository in open_clip's layout."""
        way_out = f"put it and {CONFIG} into a folder and run `clipdex models add FOLDER`"
        config = self.fetch(repo, CONFIG, way_out)
        assert config is not None
        return config, self.weights(repo, names, way_out)

    def fetch(
        self,
        repo: str,
        name: str,
        way_out: str,
        *,
        sha256: str | None = None,
        missing_ok: bool = False,
        revision: str | None = None,
        size: int | None = None,
    ) -> Path | None:
        """Download a file, unless it is in a cache.

        Args:
            repo: "organization/name".
            name: The file.
            way_out: What to do with the file where there is no network, for the error.
            sha256: The expected checksum, in addition to the hub's.
            missing_ok: Return None for a file that the repository does not have.
            revision: Of the repository; None for its main branch.
            size: In bytes, as the repository's listing announced it.

        Raises:
            DownloadError: The file cannot be downloaded or has another checksum.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
        from huggingface_hub.utils import build_hf_headers

        cached = try_to_load_from_cache(repo, name, revision=revision)
        if isinstance(cached, str):
            _require(Path(cached), Path(cached).resolve().name, sha256, "the hub's cache")
            return Path(cached)
        url = hf_hub_url(repo, name, revision=revision)
        try:
            metadata = get_hf_file_metadata(url)
        except RepositoryNotFoundError as exc:
            raise DownloadError(
                f"the hub has no repository {repo} ({url}), or it needs a token in HF_TOKEN"
            ) from exc
        except EntryNotFoundError as exc:
            if missing_ok:
                return None
            raise DownloadError(f"the hub's repository {repo} has no {name} ({url})") from exc
        except Exception as exc:  # of httpx, requests and huggingface_hub
            raise DownloadInterrupted(_unreachable(url, name, exc, way_out)) from exc
        if size is not None and metadata.size not in (None, size):
            raise DownloadError(
                f"{url} has {metadata.size:,} bytes, and the repository lists {size:,}: it changed "
                "meanwhile, or one of them is wrong. Try again"
            )
        etag = (metadata.etag or "").strip('"')
        # The hub sends it, so it must not form a path.
        version = "".join(filter(str.isalnum, etag))[:16]
        folder = cache_folder() / "downloads" / repo.replace("/", "--") / (version or "unnamed")
        file = folder / name
        self._folders.append(folder)
        if file.is_file():
            return file
        headers = build_hf_headers()
        if urlparse(url).netloc != urlparse(metadata.location).netloc:
            headers.pop("authorization", None)
        part = folder / f"{name}.part"
        try:
            part.parent.mkdir(parents=True, exist_ok=True)
            self._download(metadata.location, part, headers, metadata.size)
        except Exception as exc:  # as above, and a full disk
            raise DownloadInterrupted(_unreachable(url, name, exc, way_out)) from exc
        try:
            _require(part, etag, sha256, url)
        except DownloadError:
            part.unlink()
            raise
        os.replace(part, file)
        return file

    def clean(self) -> None:
        """Remove the downloads, once they are compiled."""
        for folder in self._folders:
            shutil.rmtree(folder, ignore_errors=True)
            if folder.parent.is_dir() and not any(folder.parent.iterdir()):
                folder.parent.rmdir()

    def _download(self, url: str, part: Path, headers: Any, size: int | None) -> None:
        from huggingface_hub.file_download import http_get
        from huggingface_hub.utils import disable_progress_bars

        disable_progress_bars()
        with part.open("ab") as file:
            have = file.tell()
            of = f" of {size / 1e6:,.0f} MB" if size else ""
            done = f", from {have / 1e6:,.0f} MB on" if have else ""
            self.on_progress(f"downloading {part.stem}{of}{done}")
            limited: Any = _Limited(file, have, size, lambda: self._stopped)
            http_get(url, limited, resume_size=have, headers=headers, expected_size=size)


class _Limited:
    """A file that takes no more bytes than were announced, and none once all is called off."""

    def __init__(
        self, file: Any, have: int, size: int | None, is_stopped: Callable[[], bool]
    ) -> None:
        self._file = file
        self._have = have
        self._size = size
        self._is_stopped = is_stopped

    def write(self, data: bytes) -> int:
        self._have += len(data)
        if self._size is not None and self._have > self._size:
            raise DownloadError(f"the server sends more than the {self._size:,} bytes it announced")
        if self._is_stopped():
            raise DownloadError("called off")
        return int(self._file.write(data))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._file, name)


def _endpoint() -> str:
    from huggingface_hub import constants

    return str(constants.ENDPOINT)


def _require(file: Path, etag: str, sha256: str | None, origin: str) -> None:
    """Raise DownloadError unless the file has the checksums of the hub and the user."""
    for wanted, kind in ((etag, _kind(etag)), (sha256 or "", "sha256")):
        if not kind or not wanted:
            continue
        found = _digest(file, kind)
        if found != wanted.lower():
            raise DownloadError(
                f"{file.name} from {origin} has the checksum {found[:16]}..., not "
                f"{wanted[:16]}...: it was damaged or replaced and is not used. Try again"
            )


def _kind(etag: str) -> str:
    """Return the kind of an etag: "sha256" for a large file, "git" (SHA-1) for a small one."""
    if set(etag.lower()) - set("0123456789abcdef"):
        return ""
    return {64: "sha256", 40: "git"}.get(len(etag), "")


def _digest(file: Path, kind: str) -> str:
    hasher = hashlib.sha256() if kind == "sha256" else hashlib.sha1(usedforsecurity=False)
    if kind == "git":
        hasher.update(f"blob {file.stat().st_size}\0".encode())
    with file.open("rb") as stream:
        while chunk := stream.read(CHUNK):
            hasher.update(chunk)
    return hasher.hexdigest()


def _refused(url: str, exc: Exception, way_out: str) -> str:
    """Return why the hub gives no list of files, and what to do."""
    status, wait = _answer(exc)
    if status in (401, 403, 404):
        return f"the hub has no repository {url}, or it needs a token in HF_TOKEN ({status})"
    if status == 429:
        return f"the hub {_endpoint()} asks to wait{wait} before {url}: try again then"
    return (
        f"cannot ask the hub for {url} ({_reason(exc)}). Without a network, download the "
        f"repository's files elsewhere, keeping their folders, then {way_out}"
    )


def _answer(exc: Exception) -> tuple[int | None, str]:
    """Return an error's HTTP status, and how long the server asks to wait, in words."""
    response = getattr(exc, "response", None)
    status = getattr(response, "status_code", None)
    after = str(getattr(response, "headers", {}).get("retry-after", ""))
    return status, f" {after} s" if after.isdigit() else ""


def _reason(exc: Exception) -> str:
    return " ".join(str(exc).split())[:120] or type(exc).__name__


def _unreachable(url: str, name: str, exc: Exception, way_out: str) -> str:
    status, wait = _answer(exc)
    if status == 429:
        return f"the hub asks to wait{wait} before {url}: try again then, what has arrived is kept"
    reason = _reason(exc)
    return (
        f"cannot download {url} ({reason}). What has arrived is kept and resumed. Without a "
        f"network, download {name} elsewhere, then {way_out}"
    )
