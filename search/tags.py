"""Tags, which are the labels that the user gave: what is one, and which are reserved.

Imports nothing large: a search from the command line checks the tags that it asks for.
`search.labels.tagging` gives them to images.
"""

from indexer.arguments import unwritable, valid_text
from indexer.errors import QueryError

# Images with this tag are favourites; and those with this one are left out of searches and lists
# that do not ask for the tag.
FAVOURITE = "favourite"
HIDDEN = "hidden"
# Images with this tag are copies of one that is kept: they are no longer shown as duplicates.
DUPLICATE = "duplicate"
RESERVED = frozenset({FAVOURITE, HIDDEN})


def checked_tag(text: str) -> str:
    """Return a tag without the white space around it.

    Raises:
        QueryError: It is empty, or has a character that files of keywords cannot hold.
    """
    tag = valid_text(text).strip()
    if not tag:
        raise QueryError("the label is empty")
    character = unwritable(tag)
    if character is not None:
        raise QueryError(
            f"the label contains the control character U+{ord(character):04X}: leave it out"
        )
    return tag
