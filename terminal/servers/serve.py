"""The command `clipdex serve`."""

import logging
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from terminal import options, process
from terminal.console import handle_errors, note, visible

if TYPE_CHECKING:
    import socket

# The defaults are those of `serving.settings.Settings`, repeated here for the help.
Texts = list[str] | None

BACKLOG = 1024
MAX_WORKERS = 64


class _OneLine(logging.Formatter):
    """Formats a message as one line; a traceback may follow it."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802
        """Return the message, whatever names stand in it."""
        return visible(super().formatMessage(record))


def command(create_app: Callable[[Any], Any]) -> Callable[..., None]:
    """Return the command.

    Args:
        create_app: Makes the application from its settings; called when the command is run.
    """

    @handle_errors
    def serve(
        collection: options.Collection = None,
        host: Annotated[
            str,
            typer.Option(envvar="CLIPDEX_HOST", help="Address to listen at.", metavar="ADDRESS"),
        ] = "127.0.0.1",
        port: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_PORT",
                help="Port to listen at; 0 for any free one.",
                min=0,
                max=65535,
                metavar="N",
            ),
        ] = 8765,
        api_key: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_API_KEY",
                show_envvar=True,
                metavar="KEY",
                help="A key that lets clients search, index and change tags; can be repeated. "
                "Other users of this machine can see a command's options, so prefer the variable "
                "or the file.",
            ),
        ] = None,
        api_key_file: Annotated[
            Path | None,
            typer.Option(
                envvar="CLIPDEX_API_KEY_FILE", metavar="FILE", help="A file of keys, one per line."
            ),
        ] = None,
        read_key: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_READ_KEY",
                show_envvar=True,
                metavar="KEY",
                help="A key that lets clients search and look, and change nothing; can be "
                "repeated.",
            ),
        ] = None,
        read_key_file: Annotated[
            Path | None,
            typer.Option(
                envvar="CLIPDEX_READ_KEY_FILE",
                metavar="FILE",
                help="A file of such keys, one per line.",
            ),
        ] = None,
        insecure: Annotated[
            bool,
            typer.Option(
                "--insecure",
                envvar="CLIPDEX_INSECURE",
                help="Allow a public address without a key.",
            ),
        ] = False,
        allow_host: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_ALLOW_HOST",
                metavar="NAME",
                help="A further name that clients use for this server.",
            ),
        ] = None,
        trusted_proxy: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_TRUSTED_PROXY",
                metavar="ADDRESS",
                help="A reverse proxy, or a network of them, whose X-Forwarded-For says who the "
                "client is.",
            ),
        ] = None,
        root_path: Annotated[
            str,
            typer.Option(
                envvar="CLIPDEX_ROOT_PATH",
                metavar="PATH",
                help="The path below which a reverse proxy shows this server, such as /photos.",
                show_default="the proxy's root",
            ),
        ] = "",
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
                envvar="CLIPDEX_ALLOW_INDEX",
                metavar="DIR",
                help="A folder that clients may have indexed.",
            ),
        ] = None,
        allow_remote: Annotated[
            Texts,
            typer.Option(
                envvar="CLIPDEX_ALLOW_REMOTE",
                metavar="URL",
                help="A URL below which originals that were indexed there may be fetched, to show "
                "them.",
            ),
        ] = None,
        watch: Annotated[
            list[Path] | None,
            typer.Option(
                envvar="CLIPDEX_WATCH",
                metavar="DIR",
                help="A folder that is indexed, and watched from then on; see `clipdex watch`.",
            ),
        ] = None,
        expose_paths: Annotated[
            bool,
            typer.Option(
                "--expose-paths", envvar="CLIPDEX_EXPOSE_PATHS", help="Return absolute paths."
            ),
        ] = False,
        originals: Annotated[
            bool,
            typer.Option(
                "--originals",
                envvar="CLIPDEX_ORIGINALS",
                help="Serve files with their metadata, including where they were taken.",
            ),
        ] = False,
        max_body: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_MAX_BODY", min=1, metavar="MIB", help="Maximum size of a request."
            ),
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
                help="Time within which a request has to arrive.",
            ),
        ] = 30.0,
        rate_limit: Annotated[
            float,
            typer.Option(
                envvar="CLIPDEX_RATE_LIMIT",
                min=0,
                metavar="N",
                help="Maximum requests per second and client; 0 for no limit.",
            ),
        ] = 0.0,
        queue: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_QUEUE",
                min=1,
                metavar="N",
                help="Maximum number of waiting requests; others get a 503.",
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
                help="Number of texts whose vectors are cached.",
            ),
        ] = 256,
        hints: Annotated[
            bool,
            typer.Option(
                envvar="CLIPDEX_HINTS",
                help="Say on the page how to find more, such as with another model.",
            ),
        ] = True,
        access_log: Annotated[
            bool | None,
            typer.Option(
                "--access-log/--no-access-log",
                envvar="CLIPDEX_ACCESS_LOG",
                help="Log one line of JSON per request.",
                show_default="unless the log is a terminal",
            ),
        ] = None,
        workers: Annotated[
            int,
            typer.Option(
                envvar="CLIPDEX_WORKERS",
                min=1,
                max=MAX_WORKERS,
                metavar="N",
                help="Number of processes that answer; as many as cores answer most.",
            ),
        ] = 1,
    ) -> None:
        """Search from a browser, and over HTTP.

        Only this machine can reach the server unless --host says otherwise, and then a key is
        needed. While it runs, `clipdex search` on the same collection is answered by it at once.

        Example: clipdex serve --allow-index ./photos
        """
        # With several threads, small matrix products wait for each other and for those of FAISS:
        # a query takes twice as long.
        os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
        from dataclasses import replace

        from indexer.devices.cpu_count import available_cores
        from serving.service import check_address, check_collection
        from serving.settings import Settings

        settings = Settings(
            collection=collection,
            host=host,
            port=port,
            api_keys=_keys("api-key", api_key, api_key_file),
            read_keys=_keys("read-key", read_key, read_key_file),
            insecure=insecure,
            allow_hosts=tuple(allow_host or ()),
            trusted_proxies=tuple(trusted_proxy or ()),
            root_path=_root_path(root_path),
            cors_origins=tuple(cors_origin or ()),
            allow_index=tuple(_folder(path) for path in allow_index or ()),
            allow_remote=tuple(_remote(url) for url in allow_remote or ()),
            expose_paths=expose_paths,
            originals=originals,
            max_body=max_body * 2**20,
            body_seconds=body_seconds,
            queue=queue,
            rate_limit=rate_limit,
            batching=batching,
            query_cache=query_cache,
            workers=workers,
            threads=max(1, available_cores() // workers),
            hints=hints,
        )
        if max_pixels is not None:
            settings = replace(settings, max_pixels=max_pixels)
        check_address(settings)
        for root in check_collection(settings):
            note(f"what lies in {root} is not shown: --allow-remote {root} has it fetched")
        prepare = partial(_log, not sys.stderr.isatty() if access_log is None else access_log)
        prepare()
        listening = _listen(host, port)
        settings = replace(settings, port=listening.getsockname()[1])
        with _watching(watch or (), settings, prepare):
            if workers == 1:
                _run(create_app(settings), settings, listening)
                return
            raise typer.Exit(_supervise(create_app, settings, listening, prepare))

    return serve


@contextmanager
def _watching(
    folders: Sequence[Path], settings: Any, prepare: Callable[[], None]
) -> Iterator[None]:
    """Watch folders meanwhile."""
    if not folders:
        yield
        return
    from indexer.store.collection import locate
    from serving.services.watch_process import start_watching

    found = [_folder(path, "--watch") for path in folders]
    end = start_watching(found, locate(settings.collection), prepare)
    try:
        yield
    finally:
        end()


def _supervise(
    create_app: Callable[..., Any],
    settings: Any,
    listening: "socket.socket",
    prepare: Callable[[], None],
) -> int:
    """Serve by several processes, and return the exit code."""
    from serving.workers.supervisor import Supervisor

    supervisor = Supervisor(create_app, settings, prepare=prepare, on_second_signal=process.leave)
    _say_where(settings)
    return supervisor.run(listening)


def _run(app: Any, settings: Any, listening: "socket.socket") -> None:
    from serving.connections import LimitedServer

    _say_where(settings)
    server = LimitedServer(
        app, trusted_proxies=settings.trusted_proxies, on_second_signal=process.leave
    )
    server.run(sockets=[listening])


def _say_where(settings: Any) -> None:
    shown = " and ".join(f"http://{host}:{settings.port}" for host in _reachable(settings.host))
    note(f"clipdex is at {shown} (Ctrl-C ends it)")


def _reachable(host: str) -> list[str]:
    """Return the hosts by which a browser reaches what listens at `host`."""
    import socket

    if host not in ("0.0.0.0", "::", ""):
        return [f"[{host}]" if ":" in host else host]
    found = ["localhost"]
    # No packet is sent: connecting a datagram socket only chooses the address to send from.
    with suppress(OSError), socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(("192.0.2.1", 9))  # kept for documentation: RFC 5737
        found.append(probe.getsockname()[0])
    return found


def _listen(host: str, port: int) -> "socket.socket":
    import socket

    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    # Only with the protocol's number does asyncio set TCP_NODELAY; without it, answers wait for
    # the client's acknowledgements, which come 40 ms late.
    listening = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name != "nt":
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listening.bind((host, port))
        listening.listen(BACKLOG)  # clients that come while the model is loaded wait
    except OSError as exc:
        listening.close()
        from serving.services.errors import AddressUnavailable

        raise AddressUnavailable(
            f"cannot listen at {host}, port {port}: {exc.strerror or exc}. Choose another with "
            "--port (0 takes any that is free) or --host"
        ) from exc
    return listening


def _keys(option: str, named: Texts, file: Path | None) -> tuple[str, ...]:
    """Return the keys of two options and their variables; one that is there gives at least one."""
    variable = f"CLIPDEX_{option.upper().replace('-', '_')}"
    if not named and variable in os.environ:
        raise typer.BadParameter(f"${variable} is empty: set it to a key, or unset it")
    if file is None:
        return tuple(named or ())
    from indexer.text_files import read_text

    try:
        lines = read_text(file).splitlines()
    except (OSError, UnicodeDecodeError) as exc:
        raise typer.BadParameter(f"--{option}-file {file} cannot be read: {exc}") from exc
    keys = [line.strip() for line in lines if line.strip()]
    if not keys:
        raise typer.BadParameter(f"--{option}-file {file} holds no key: write one on each line")
    return (*(named or ()), *keys)


def _folder(path: Path, option: str = "--allow-index") -> Path:
    if not path.is_dir():
        raise typer.BadParameter(f"{option} {path}: there is no such folder")
    return path.absolute()


def _remote(text: str) -> bytes:
    from indexer.errors import ClipdexError
    from indexer.sources.url import absolute
    from indexer.store.paths import is_remote

    if not is_remote(text):
        raise typer.BadParameter(f"--allow-remote {text}: give a URL such as s3://bucket/photos")
    try:
        return absolute(text)
    except ClipdexError as exc:
        raise typer.BadParameter(f"--allow-remote {text}: {exc}") from exc


def _root_path(text: str) -> str:
    from serving.settings import ROOT_PATH

    if not ROOT_PATH.fullmatch(text.rstrip("/")):
        raise typer.BadParameter(f"--root-path {text!r}: it begins with a slash, such as /photos")
    return text


def _log(access: bool) -> None:
    from serving.log_limits import RepeatFilter

    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_OneLine())
    handler.addFilter(RepeatFilter())
    logging.basicConfig(handlers=[handler], level=logging.WARNING)
    logging.getLogger("clipdex").setLevel(logging.INFO)
    logging.getLogger("clipdex.access").setLevel(logging.INFO if access else logging.WARNING)
