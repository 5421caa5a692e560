"""Checks that a bundle's files are those that were written."""

from blake3 import blake3

from .bundle import Bundle


def digests(bundle: Bundle) -> dict[str, str]:
    """Return the BLAKE3 digest of each file of a bundle, by its name."""
    found = {}
    for name in bundle.files:
        hasher = blake3(max_threads=blake3.AUTO)
        hasher.update_mmap(bundle.folder / name)
        found[name] = hasher.hexdigest()
    return found


def damaged_files(bundle: Bundle) -> list[str]:
    """Return the names of files that differ from their checksum in the manifest."""
    return [
        name
        for name, digest in digests(bundle).items()
        if bundle.checksums.get(name, digest) != digest
    ]
