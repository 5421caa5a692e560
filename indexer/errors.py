"""All errors that clipdex raises on purpose, in one tree.

    ClipdexError
    ├── CollectionError
    │   ├── CollectionNotFound      nothing has been indexed here yet
    │   ├── CollectionLocked        another process is writing
    │   ├── CollectionFormatError   from a newer clipdex, damaged, or not a catalog at all
    │   ├── CollectionStorageError  disk full, read-only, network filesystem
    │   ├── CollectionChanged       changed by others while it was read
    │   └── FingerprintMismatch     the collection and the query have different models
    ├── WatchError                  a folder cannot be watched
    ├── RootUnavailable             a folder that was indexed is missing, unreadable or empty
    ├── ExclusionError              a pattern of what to leave out is not one
    ├── ImageError                  one image cannot be read
    │   ├── ImageUnreadable         its bytes cannot be had now
    │   ├── ImageTooLarge           above a limit that the user can raise
    │   └── ImageFormatUnknown      not an image, or of a format that clipdex does not read
    ├── HomeUnknown                 the user has no home folder, and no other was named
    ├── WorkerLost                  a process that decodes images was killed from outside
    ├── ModelError
    │   ├── ModelNotFound           no such model here
    │   ├── BundleError             a compiled model's files are incomplete or damaged
    │   ├── DownloadError           a model's files cannot be fetched, or are not the hub's
    │   │   └── DownloadInterrupted what has arrived is kept, and the next try goes on
    │   ├── CompileError            a model cannot be compiled, or differs from open_clip
    │   ├── VectorsError            what a model gives are no unit vectors
    │   ├── DeviceUnavailable       this machine does not have the requested device
    │   └── OutOfMemory             a batch does not fit into a device's memory
    ├── ArtifactError               a head or concept is missing, damaged or was changed
    ├── ExamplesError               nothing can be learnt from these examples
    ├── QueryError                  nothing to search for, or no vector for the query
    │   └── ImageNotFound           no image of the collection has this id
    ├── GroundTruthError            labels or captions for `eval` cannot be parsed
    └── SidecarError                labels cannot be written beside a photo
        ├── SidecarFormatError      a sidecar is not XMP, or is damaged or unusual
        ├── TagError                a sidecar cannot hold this label
        └── JournalError            the journal of a run cannot be written, read or found

Each message is one line: what happened, why, what to do. Errors of Pillow, FAISS, ONNX Runtime,
SQLite, PostgreSQL and torch are translated at the boundary, with `raise ... from exc`.
"""

from typing import Self


class ClipdexError(Exception):
    """Base of all errors that clipdex raises on purpose; its text is one line for a person."""


class CollectionError(ClipdexError):
    """A collection cannot be used as asked."""


class CollectionNotFound(CollectionError):
    """There is no collection at the place that was named or found."""


class CollectionLocked(CollectionError):
    """Another process is writing to the collection."""


class CollectionFormatError(CollectionError):
    """The catalog is from a newer clipdex, damaged, or not a catalog."""


class CollectionStorageError(CollectionError):
    """The collection's disk is full, read-only or unsuitable."""


class CollectionChanged(CollectionError):
    """The collection was changed while it was read without its log; the next try sees all."""


class FingerprintMismatch(CollectionError):
    """The collection's vectors and the encoder belong to different models."""


class RootUnavailable(ClipdexError):
    """A folder to index is missing, unreadable or suddenly empty; nothing was removed."""

    @classmethod
    def unplugged(cls, what: str, *, remote: bool = False) -> Self:
        """Return the error of a folder whose drive may be unplugged; `what` is a clause.

        Args:
            what: What is missing.
            remote: Whether it is no folder of this machine.
        """
        if remote:
            return cls(
                f"{what}. Nothing was removed. If it is only away, run the same command again "
                "later; if it is gone for good, run `clipdex forget` on it"
            )
        return cls(
            f"{what}. Nothing was removed. If that folder is on a drive, plug it in; if it is gone "
            "for good, run `clipdex forget` on it"
        )


class WatchError(ClipdexError):
    """A folder whose changes cannot be followed."""


class ExclusionError(ClipdexError):
    """A pattern of files and folders to leave out is not one."""


class ImageError(ClipdexError):
    """An image cannot be read; the text is the reason that the catalog keeps."""


class ImageUnreadable(ImageError):
    """A file's bytes cannot be had now: permissions, or its disk; nothing is known of them."""


class ImageTooLarge(ImageError):
    """A file or image is above the limits."""


class ImageFormatUnknown(ImageError):
    """The bytes are not an image of a known format."""


class HomeUnknown(ClipdexError):
    """The user has no home folder, and no other place was named."""


class WorkerLost(ClipdexError):
    """A process that decodes images was killed from outside."""


class ModelError(ClipdexError):
    """A model cannot be used."""


class ModelNotFound(ModelError):
    """No model of that name is known here."""


class BundleError(ModelError):
    """A bundle's files are missing, damaged or of another format."""


class DownloadError(ModelError):
    """A model's files cannot be fetched from a hub, or differ from its checksums."""


class DownloadInterrupted(DownloadError):
    """A download broke off, or could not begin; what has arrived is kept for the next try."""


class CompileError(ModelError):
    """A model cannot be compiled, or its bundle differs from open_clip."""


class VectorsError(ModelError):
    """What a model gives are no unit vectors of its dimension."""


class DeviceUnavailable(ModelError):
    """This machine does not have the requested device."""


class OutOfMemory(ModelError):
    """A batch does not fit into the memory of the device that encodes it."""


class ArtifactError(ClipdexError):
    """A head or concept is missing, damaged or not what was written."""


class ExamplesError(ClipdexError):
    """Nothing, or not what was asked for, can be learnt from the examples."""


class QueryError(ClipdexError):
    """A query cannot be turned into a vector."""


class ImageNotFound(QueryError):
    """No image of the collection has the id that was asked for."""


class GroundTruthError(ClipdexError):
    """Labels or captions of a user's own images cannot be parsed."""


class SidecarError(ClipdexError):
    """Labels cannot be written beside a photo; the text is a reason that a report keeps."""


class SidecarFormatError(SidecarError):
    """A sidecar is not XMP, is damaged, or uses a form that clipdex does not support."""


class TagError(SidecarError):
    """A sidecar cannot hold this label."""


class JournalError(SidecarError):
    """The journal that makes a run undoable cannot be written, read or found."""
