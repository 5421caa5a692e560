"""`clipdex serve`"""

import logging
import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from . import options
from .console import guarded, note

# What is not given is as `serving.settings.Settings` says: its defaults are shown here.
Texts = list[str] | None

BACKLOG = 1024


def command(create_app: Callable[[Any], Any]) -> Callable[..., None]:
    """The command. create_app: makes the application of its settings; called when it is run."""

    @guarded
    def serve(
        collection: options.Collection = None,
        host: Annotated[
            str, typer.Option(envvar="CLIPDEX_HOST", help="Where to listen.", metavar="ADDRESS")
        ] = "127.0.0.1",
        port: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_PORT", help="0 for any that is free.", min=0, max=65535, metavar="N"
            ),
        ] = 8765,
        api_key: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_API_KEY",
                show_envvar=True,
                metavar="KEY",
                help="Let in who has this key; several may be given. Other users of this machine "
                "see a command's options, so the variable or the file is better.",
            ),
        ] = None,
        api_key_file: Annotated[
            Path | None,
            typer.Option(envvar="CLIPDEX_API_KEY_FILE", metavar="FILE", help="Keys, one a line."),
        ] = None,
        insecure: Annotated[
            bool,
            typer.Option(
                "--insecure",
                envvar="CLIPDEX_INSECURE",
                help="Listen at a public address without a key.",
            ),
        ] = False,
        allow_host: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_ALLOW_HOST",
                metavar="NAME",
                help="A name that clients call this server by.",
            ),
        ] = None,
        cors_origin: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_CORS_ORIGIN",
                metavar="URL",
                help="Another site whose pages may use this server.",
            ),
        ] = None,
        allow_index: Annotated[
            list[Path] | None,
            typer.Option(
                envvar="CLIPDEX_ALLOW_INDEX", metavar="DIR", help="A folder that may be indexed."
            ),
        ] = None,
        expose_paths: Annotated[
            bool,
            typer.Option(
                "--expose-paths", envvar="CLIPDEX_EXPOSE_PATHS", help="Answer with whole paths."
            ),
        ] = False,
        originals: Annotated[
            bool,
            typer.Option(
                "--originals",
                envvar="CLIPDEX_ORIGINALS",
                help="Hand out files with their metadata, the place where they were taken too.",
            ),
        ] = False,
        max_body: Annotated[
            int,
            typer.Option(envvar="CLIPDEX_MAX_BODY", min=1, metavar="MIB", help="Largest request."),
        ] = 32,
        max_pixels: Annotated[
            int | None,
            typer.Option(
                envvar="CLIPDEX_MAX_PIXELS",
                min=1,
                metavar="N",
                help="Largest image to decode.",
                show_default="200 megapixels",
            ),
        ] = None,
        body_seconds: Annotated[
            float,
            typer.Option(
                envvar="CLIPDEX_BODY_SECONDS",
                min=0.1,
                metavar="S",
                help="Within which a request has to have come.",
            ),
        ] = 30.0,
        rate_limit: Annotated[
            float,
            typer.Option(
                envvar="CLIPDEX_RATE_LIMIT",
                min=0,
                metavar="N",
                help="Requests a second of one client; 0 for any number.",
            ),
        ] = 0.0,
        queue: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_QUEUE",
                min=1,
                metavar="N",
                help="Requests that may wait; others get a 503.",
            ),
        ] = 256,
        batching: Annotated[
            bool,
            typer.Option(
                envvar="CLIPDEX_BATCHING", help="Encode the texts of waiting requests together."
            ),
        ] = True,
        query_cache: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_QUERY_CACHE",
                min=0,
                metavar="N",
                help="Texts whose vectors are kept.",
            ),
        ] = 256,
        access_log: Annotated[
            bool, typer.Option(envvar="CLIPDEX_ACCESS_LOG", help="A line of JSON a request.")
        ] = True,
    ) -> None:
        """Search from a browser, and over HTTP.

        Only this machine can reach it unless --host says otherwise, and then a key is needed.
        `clipdex search` asks a running server of its collection, which answers at once.

        Example: clipdex serve --allow-index ./photos
        """
        # Threads for small matrix products wait for each other, and for FAISS's: a query takes
        # twice as long with them.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from dataclasses import replace

        from indexer.devices.cpu_count import available_cores
        from serving.service import check_address
        from serving.settings import Settings

        settings = Settings(
            collection=collection,
            host=host,
            port=port,
            api_keys=(*(api_key or ()), *_keys_of(api_key_file)),
            insecure=insecure,
            allow_hosts=tuple(allow_host or ()),
            cors_origins=tuple(cors_origin or ()),
            allow_index=tuple(_folder(path) for path in allow_index or ()),
            expose_paths=expose_paths,
            originals=originals,
            max_body=max_body * 2**20,
            body_seconds=body_seconds,
            queue=queue,
            rate_limit=rate_limit,
            batching=batching,
            query_cache=query_cache,
            workers=available_cores(),
        )
        if max_pixels is not None:
            settings = replace(settings, max_pixels=max_pixels)
        check_address(settings)
        _log(access_log)
        listening = _listen(host, port)
        settings = replace(settings, port=listening.getsockname()[1])
        _run(create_app(settings), settings, listening)

    return serve


def _run(app: Any, settings: Any, listening: socket.socket) -> None:
    import uvicorn

    shown = f"[{settings.host}]" if ":" in settings.host else settings.host
    note(f"clipdex is at http://{shown}:{settings.port} (Ctrl-C ends it)")
    config = uvicorn.Config(
        app,
        log_config=None,
        access_log=False,
        server_header=False,
        # Answers that are under way, and jobs, have this long.
        timeout_graceful_shutdown=5,
        h11_max_incomplete_event_size=32 * 1024,
    )
    uvicorn.Server(config).run(sockets=[listening])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # By the protocol's number asyncio knows that answers must not wait for the client's
    # acknowledgements (TCP_NODELAY), which come 40 ms late.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # who comes while the model is loaded waits for it
    except OSError as exc:
        listening.close()
        from serving.services.errors import AddressUnavailable

        raise AddressUnavailable(
            f"cannot listen at {host}, port {port}: {exc.strerror or exc}. Choose another with "
            "--port (0 takes any that is free) or --host"
        ) from exc
    return listening


def _keys_of(file: Path | None) -> list[str]:
    if file is None:
        return []
    try:
        lines = file.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"--api-key-file {file} cannot be read: {exc}") from exc
    return [line.strip() for line in lines if line.strip()]


def _folder(path: Path) -> Path:
    if not path.is_dir():
        raise typer.BadParameter(f"--allow-index {path}: there is no such folder")
    return path.absolute()


def _log(access: bool) -> None:
    logging.basicConfig(stream=sys.stderr, level=logging.WARNING, format="%(message)s")
    logging.getLogger("clipdex").setLevel(logging.INFO)
    logging.getLogger("clipdex.access").setLevel(logging.INFO if access else logging.WARNING)
