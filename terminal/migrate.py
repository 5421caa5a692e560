"""The command `clipdex migrate`."""

from . import options
from .console import handle_errors, out


@handle_errors
def migrate(collection: options.Collection = None) -> None:
    """Bring a collection of an older clipdex up to this one's format.

    Its photos need not be there. The catalog is copied first, and the copy is kept beside it until
    images are forgotten or pruned; to go back to the older clipdex, put it in the catalog's place.
    Commands that change the collection, such as `index` and `tags add`, do the same.

    Example: clipdex migrate --collection ./photos.clipdex
    """
    from indexer.migrate_collection import migrate as bring_up
    from indexer.store.collection import locate

    place = locate(collection)
    before, now = bring_up(place)
    if before == now:
        out(f"{place.shown} has the format {now} already")
    else:
        out(f"{place.shown} has the format {now} now")
