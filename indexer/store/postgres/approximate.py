"""HNSW indexes: one for each model, since pgvector's have a fixed length of vector."""

from psycopg import sql

from .connections import Session


def index_name(fingerprint: str) -> str:
    """Return the name of a model's index; a fingerprint has at most 64 characters, a name 63."""
    from indexer.store.content_hash import digest

    return f"hnsw_{digest(fingerprint.encode()).hex()}"


def drop(session: Session, fingerprint: str) -> None:
    """Drop the index of a model, if there is one."""
    with session.connection() as connection:
        connection.execute(
            sql.SQL("DROP INDEX IF EXISTS {}").format(sql.Identifier(index_name(fingerprint)))
        )
