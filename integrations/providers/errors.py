"""What can go wrong between us and a provider."""

from __future__ import annotations

from mobius.errors import BadRequest, Conflict, NotFound


class UnknownProvider(NotFound):
    """There is no provider of this name."""


class ActionInputInvalid(BadRequest):
    """The action's parameters do not make a row that the provider takes."""


class RowTooLarge(ActionInputInvalid):
    """The row has more bytes than the provider takes."""


class NotConnected(Conflict):
    """The action's provider is not connected to this project, or not any more."""

    code = "not_connected"
