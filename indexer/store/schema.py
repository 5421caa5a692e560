"""The catalog's tables, as numbered migrations.

A migration, once released, never changes: a new one is appended. `PRAGMA user_version` holds the
number of the last one applied, and a number from the future is refused.
"""

import sqlite3

from indexer.errors import CollectionFormatError
from indexer.store.records import SEPARATOR

APPLICATION_ID = 0x636C7064  # "clpd"

# roots        folders that were indexed
# contents     images by hash; `paths` counts the files that hold one, kept by triggers;
#              taken_at: seconds since 1970 of the wall clock where the photo was taken, as if that
#              were UTC; taken_offset: its minutes east of UTC, where the file says so;
#              sketch: what near-duplicates are identified by;
#              note: what was wrong with an image that was read all the same;
#              camera: what took it; NULL where an older clipdex did not look
# cameras      bodies and lenses as EXIF names them, empty where a file names none
# files        (root, relative path); content, or the reason why there is none
# path_words   the words of files' names and of the folders above them (FTS5), kept by triggers; the
#              root's own path is not among them
# models       encoders whose vectors lie here: one is active, one may be pending (its vectors are
#              being filled in before it becomes the active one), the others were active once
# embeddings   one float16 vector a content and fingerprint; `generation` is the commit it came in
# tombstones   contents whose vectors were removed, and in which generation
# labels       what an image was said to show: by its user, or by a head ("head:NAME")
# kept_labels  what users said of contents that are not in the collection any more, by hash
# mounts       places below a root where another file system or a link began at the last scan
# other_files  files whose first bytes are no image's, so that they are not read in every scan
# exclusions   what later scans leave out: gitignore patterns ("exclude"), counted from the folder
#              `base`, or from every root where that is empty; and absolute paths ("forget")
# vector_files FAISS files that are complete: a file that is not in this table is not trusted, nor
#              one whose blocks have other checksums than its `digests`
# codes_files  FAISS files of codes that stand for the vectors of a file of the same generation
# state        generation: counts the commits that changed embeddings; index: 1 always exact, 2
#              always by codes, 0 or none by codes from some size on; recall: in thousandths


def _words(path: str) -> str:
    """Return SQL for the name in a path, and for the folder above it."""
    text = f"CAST({path} AS TEXT)"
    folder = f"rtrim({text}, replace({text}, '{SEPARATOR.decode()}', ''))"
    return f"substr({text}, length({folder}) + 1), {folder}"


MIGRATIONS = (
    """
    CREATE TABLE roots (
        id INTEGER PRIMARY KEY,
        path BLOB NOT NULL UNIQUE
    );
    CREATE TABLE contents (
        id INTEGER PRIMARY KEY AUTOINCREMENT,
        hash BLOB NOT NULL UNIQUE,
        width INTEGER NOT NULL,
        height INTEGER NOT NULL,
        format TEXT NOT NULL,
        paths INTEGER NOT NULL DEFAULT 0
    );
    CREATE INDEX contents_without_paths ON contents (id) WHERE paths = 0;
    CREATE TABLE files (
        id INTEGER PRIMARY KEY,
        root INTEGER NOT NULL REFERENCES roots (id),
        path BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        content INTEGER REFERENCES contents (id),
        reason TEXT,
        UNIQUE (root, path),
        CHECK ((content IS NULL) <> (reason IS NULL))
    );
    CREATE INDEX files_by_content ON files (content) WHERE content IS NOT NULL;
    CREATE INDEX files_failed ON files (root, path) WHERE reason IS NOT NULL;
    CREATE TRIGGER files_insert AFTER INSERT ON files BEGIN
        UPDATE contents SET paths = paths + 1 WHERE id = new.content;
    END;
    CREATE TRIGGER files_delete AFTER DELETE ON files BEGIN
        UPDATE contents SET paths = paths - 1 WHERE id = old.content;
    END;
    CREATE TRIGGER files_update AFTER UPDATE OF content ON files BEGIN
        UPDATE contents SET paths = paths - 1 WHERE id = old.content;
        UPDATE contents SET paths = paths + 1 WHERE id = new.content;
    END;
    CREATE TABLE models (
        fingerprint TEXT PRIMARY KEY,
        name TEXT NOT NULL,
        dim INTEGER NOT NULL,
        active INTEGER NOT NULL
    );
    CREATE TABLE embeddings (
        content INTEGER NOT NULL REFERENCES contents (id),
        fingerprint TEXT NOT NULL REFERENCES models (fingerprint),
        generation INTEGER NOT NULL,
        vector BLOB NOT NULL,
        PRIMARY KEY (content, fingerprint)
    );
    CREATE INDEX embeddings_by_generation ON embeddings (fingerprint, generation);
    CREATE TABLE tombstones (
        content INTEGER PRIMARY KEY,
        generation INTEGER NOT NULL
    );
    CREATE INDEX tombstones_by_generation ON tombstones (generation);
    CREATE TABLE vector_files (
        fingerprint TEXT NOT NULL,
        generation INTEGER NOT NULL,
        vectors INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        PRIMARY KEY (fingerprint, generation)
    );
    CREATE TABLE state (
        key TEXT PRIMARY KEY,
        value INTEGER NOT NULL
    );
    INSERT INTO state VALUES ('generation', 0);
    """,
    """
    ALTER TABLE contents ADD COLUMN taken_at INTEGER;
    ALTER TABLE contents ADD COLUMN taken_offset INTEGER;
    ALTER TABLE contents ADD COLUMN sketch BLOB;
    ALTER TABLE models ADD COLUMN pending INTEGER NOT NULL DEFAULT 0;
    """,
    """
    CREATE TABLE labels (
        content INTEGER NOT NULL REFERENCES contents (id),
        label TEXT NOT NULL,
        origin TEXT NOT NULL,
        probability REAL NOT NULL,
        PRIMARY KEY (label, content, origin)
    ) WITHOUT ROWID;
    CREATE INDEX labels_by_content ON labels (content);
    """,
    """
    ALTER TABLE contents ADD COLUMN note TEXT;
    CREATE INDEX contents_with_note ON contents (note) WHERE note IS NOT NULL;
    CREATE TABLE mounts (
        root INTEGER NOT NULL REFERENCES roots (id),
        path BLOB NOT NULL,
        kind TEXT NOT NULL,
        PRIMARY KEY (root, path)
    ) WITHOUT ROWID;
    CREATE TABLE other_files (
        root INTEGER NOT NULL REFERENCES roots (id),
        path BLOB NOT NULL,
        size INTEGER NOT NULL,
        mtime_ns INTEGER NOT NULL,
        PRIMARY KEY (root, path)
    ) WITHOUT ROWID;
    CREATE TABLE exclusions (
        id INTEGER PRIMARY KEY,
        base BLOB NOT NULL,
        pattern BLOB NOT NULL,
        origin TEXT NOT NULL,
        UNIQUE (base, pattern, origin)
    );
    CREATE TABLE kept_labels (
        hash BLOB NOT NULL,
        label TEXT NOT NULL,
        origin TEXT NOT NULL,
        probability REAL NOT NULL,
        PRIMARY KEY (hash, label, origin)
    ) WITHOUT ROWID;
    """,
    """
    ALTER TABLE vector_files ADD COLUMN digests BLOB;
    """,
    """
    CREATE TABLE codes_files (
        fingerprint TEXT PRIMARY KEY,
        generation INTEGER NOT NULL,
        vectors INTEGER NOT NULL,
        trained INTEGER NOT NULL,
        bytes INTEGER NOT NULL,
        digests BLOB NOT NULL,
        probes INTEGER NOT NULL,
        depth INTEGER NOT NULL,
        text_recall REAL NOT NULL,
        image_recall REAL NOT NULL
    );
    """,
    f"""
    CREATE TABLE cameras (
        id INTEGER PRIMARY KEY,
        body TEXT NOT NULL,
        lens TEXT NOT NULL,
        UNIQUE (body, lens)
    );
    ALTER TABLE contents ADD COLUMN camera INTEGER REFERENCES cameras (id);
    CREATE INDEX contents_by_camera ON contents (camera) WHERE camera IS NOT NULL;
    CREATE VIRTUAL TABLE path_words USING fts5 (
        name, folder, content = '', tokenize = 'unicode61 remove_diacritics 2'
    );
    INSERT INTO path_words (rowid, name, folder) SELECT id, {_words("path")} FROM files;
    CREATE TRIGGER words_insert AFTER INSERT ON files BEGIN
        INSERT INTO path_words (rowid, name, folder) VALUES (new.id, {_words("new.path")});
    END;
    CREATE TRIGGER words_delete AFTER DELETE ON files BEGIN
        INSERT INTO path_words (path_words, rowid, name, folder)
            VALUES ('delete', old.id, {_words("old.path")});
    END;
    CREATE TRIGGER words_update AFTER UPDATE OF path ON files BEGIN
        INSERT INTO path_words (path_words, rowid, name, folder)
            VALUES ('delete', old.id, {_words("old.path")});
        INSERT INTO path_words (rowid, name, folder) VALUES (new.id, {_words("new.path")});
    END;
    """,
)

_WITHOUT_DIGESTS = """
    CREATE TEMP VIEW vector_files AS SELECT *, NULL AS digests FROM main.vector_files;
"""
# What a reader of an older catalog puts over it, which it does not change: an older format that is
# not named here has to be migrated first.
_WITHOUT_CODES = """
    CREATE TEMP TABLE codes_files (fingerprint TEXT, generation INTEGER, vectors INTEGER,
        trained INTEGER, bytes INTEGER, digests BLOB, probes INTEGER, depth INTEGER,
        text_recall REAL, image_recall REAL);
"""
# Searches by name ask first whether there is a table of words.
_WITHOUT_CAMERAS = """
    CREATE TEMP TABLE cameras (id INTEGER, body TEXT, lens TEXT);
"""
_CONTENTS_WITHOUT_CAMERA = """
    CREATE TEMP VIEW contents AS SELECT *, NULL AS camera FROM main.contents;
"""
OVERLAYS = {
    3: f"""
    CREATE TEMP VIEW contents AS SELECT *, NULL AS note, NULL AS camera FROM main.contents;
    CREATE TEMP TABLE exclusions (id INTEGER, base BLOB, pattern BLOB, origin TEXT);
    CREATE TEMP TABLE kept_labels (hash BLOB, label TEXT, origin TEXT, probability REAL);
    {_WITHOUT_DIGESTS}
    {_WITHOUT_CODES}
    {_WITHOUT_CAMERAS}
    """,
    4: f"{_WITHOUT_DIGESTS} {_WITHOUT_CODES} {_WITHOUT_CAMERAS} {_CONTENTS_WITHOUT_CAMERA}",
    5: f"{_WITHOUT_CODES} {_WITHOUT_CAMERAS} {_CONTENTS_WITHOUT_CAMERA}",
    6: f"{_WITHOUT_CAMERAS} {_CONTENTS_WITHOUT_CAMERA}",
}


def version_of(connection: sqlite3.Connection) -> int:
    """Return the number of the last migration applied; 0 for a new file."""
    version: int = connection.execute("PRAGMA user_version").fetchone()[0]
    return version


def check_version(connection: sqlite3.Connection, place: str) -> None:
    """Raise CollectionFormatError for a catalog that this clipdex cannot read."""
    version = version_of(connection)
    identity = connection.execute("PRAGMA application_id").fetchone()[0]
    if version and identity != APPLICATION_ID:
        raise CollectionFormatError(
            f"{place} is a database of another program. Name another --collection"
        )
    if version > len(MIGRATIONS):
        raise CollectionFormatError(
            f"{place} was written by a newer clipdex (format {version}; this one knows up to "
            f"{len(MIGRATIONS)}). Upgrade clipdex, or name another --collection"
        )


def migrate(connection: sqlite3.Connection) -> None:
    """Apply the missing migrations, each in one transaction with its number."""
    for number, script in enumerate(MIGRATIONS, start=1):
        if number > version_of(connection):
            connection.executescript(
                f"BEGIN IMMEDIATE; {script}; PRAGMA application_id = {APPLICATION_ID}; "
                f"PRAGMA user_version = {number}; COMMIT;"
            )
