"""Downloads files of a Hugging Face hub, with resuming and checksums.

Only models that the user named are downloaded. `HF_ENDPOINT`, `HF_TOKEN` and `HF_HOME` are used,
and files in the hub's own cache. `hf_hub_download` of huggingface_hub 2.4 starts again when its
process ends and checks the size only, so weights are downloaded here (docs/decisions/0023).
"""

import hashlib
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

from indexer.bundles.cache import cache_folder
from indexer.errors import DownloadError
from indexer.model_name import CONFIG

CHUNK = 1 << 20


class Hub:
    """Downloads the files of one model."""

    def __init__(
        self, *, sha256: str | None = None, on_progress: Callable[[str], None] = lambda line: None
    ) -> None:
        """Prepare downloads.

        Args:
            sha256: The expected checksum of the weights, in addition to the hub's.
            on_progress: Called with a line of text for each download.
        """
        self.sha256 = sha256
        self.on_progress = on_progress
        self._folders: list[Path] = []

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
    ) -> Path | None:
        """Download a file, unless it is in a cache.

        Args:
            repo: "organization/name".
            name: The file.
            way_out: What to do with the file where there is no network, for the error.
            sha256: The expected checksum, in addition to the hub's.
            missing_ok: Return None for a file that the repository does not have.

        Raises:
            DownloadError: The file cannot be downloaded or has another checksum.
        """
        from huggingface_hub import get_hf_file_metadata, hf_hub_url, try_to_load_from_cache
        from huggingface_hub.errors import EntryNotFoundError, RepositoryNotFoundError
        from huggingface_hub.utils import build_hf_headers

        cached = try_to_load_from_cache(repo, name)
        if isinstance(cached, str):
            _require(Path(cached), Path(cached).resolve().name, sha256, "the hub's cache")
            return Path(cached)
        url = hf_hub_url(repo, name)
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
            raise DownloadError(_unreachable(url, name, exc, way_out)) from exc
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
            folder.mkdir(parents=True, exist_ok=True)
            self._download(metadata.location, part, headers, metadata.size)
        except Exception as exc:  # as above, and a full disk
            raise DownloadError(_unreachable(url, name, exc, way_out)) from exc
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
            http_get(url, file, resume_size=have, headers=headers, expected_size=size)


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


def _unreachable(url: str, name: str, exc: Exception, way_out: str) -> str:
    reason = " ".join(str(exc).split())[:120] or type(exc).__name__
    return (
        f"cannot download {url} ({reason}). What has arrived is kept and resumed. Without a "
        f"network, download {name} elsewhere, then {way_out}"
    )
