"""Towers that tests of tuning change."""

import copy

import pytest
from torch import nn

from support.random_towers import small_transformer


@pytest.fixture(scope="session")
def transformer() -> nn.Module:
    """A small ViT of open_clip's, with random weights."""
    return small_transformer()


@pytest.fixture
def tower(transformer: nn.Module) -> nn.Module:
    return copy.deepcopy(transformer)
