"""Classes that examples can teach, without an encoder."""

import pytest

from adaptation.task import Task
from support.clusters import clustered


@pytest.fixture(scope="session")
def train() -> Task:
    return clustered(10, 0)


@pytest.fixture(scope="session")
def val() -> Task:
    return clustered(50, 1)
