"""The command `clipdex mcp`."""

from terminal import options
from terminal.console import handle_errors


@handle_errors
def mcp(collection: options.Collection = None) -> None:
    """Let an assistant search, by the Model Context Protocol over standard input and output.

    It gets the tools search, similar, label and status, which read and change nothing; hits come
    with small pictures. Assistants start this command themselves: name it in their settings.

    Example: clipdex mcp --collection ~/photos/.clipdex
    """
    try:
        from serving.mcp_server import make_server
    except ImportError as exc:
        from serving.services.errors import ServerUnavailable

        raise ServerUnavailable(
            f"an assistant's server needs one more package ({exc.name}): pip install 'clipdex[mcp]'"
        ) from exc
    from serving.service import check_collection
    from serving.settings import Settings

    check_collection(Settings(collection))
    make_server(collection).run("stdio")
