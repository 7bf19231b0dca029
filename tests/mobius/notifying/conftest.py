"""Somebody to tell."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from tests.mobius.notifying.receiving import Receiver, receiver


@pytest.fixture
def crm(settings: Any) -> Iterator[Receiver]:
    """A receiver of webhooks that we may dial."""
    with receiver(settings) as server:
        yield server
