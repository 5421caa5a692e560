"""What tests of dates share."""

import os
import time
from collections.abc import Iterator

import pytest


@pytest.fixture(scope="module")
def this_machine_is_in_berlin() -> Iterator[None]:
    before = os.environ.get("TZ")
    os.environ["TZ"] = "Europe/Berlin"
    time.tzset()
    yield
    if before is None:
        del os.environ["TZ"]
    else:
        os.environ["TZ"] = before
    time.tzset()
