"""What a provider states about itself, and the values that pass between a provider and our verbs.

A provider is a folder beside this file whose `provider.py` holds `PROVIDER = Provider(...)`. It states neither its
id nor its actions' prefix: both are the folder's name. It imports neither the ORM, REST framework, `loops`, another
provider nor an HTTP client: it describes requests and judges answers, `integrations.delivering` does the sending.
"""

from __future__ import annotations

import enum
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

from django import forms

from integrations.providers.recipes import RecipeBook
from mobius.redacting import remember

JsonObject = dict[str, Any]

CALLBACK_PLACEHOLDER = "${{ callback.url }}"
"""Stands in rendered parameters and stored bodies where a callback's address belongs, which is a capability: only
what goes over the wire holds it (design §5)."""


class AuthKind(enum.StrEnum):
    """How the outside service knows us."""

    API_KEY = "api_key"
    OAUTH = "oauth"
    NONE = "none"


class ConnectFlow(enum.StrEnum):
    """What an admin does to connect."""

    INLINE_WEBHOOK_URL = "inline_webhook_url"  # paste a webhook URL into a form
    REDIRECT = "redirect"  # go to the service and come back

    @property
    def label(self) -> str:
        return {"inline_webhook_url": "Inline webhook URL", "redirect": "Redirect"}[self.value]


@dataclass(frozen=True, kw_only=True)
class Capabilities:
    """The capability map of the founding document, line for line."""

    actions: bool = False
    events: bool = False
    webhook_delivery: bool = False
    event_samples: bool = False
    live_status: bool = False


@dataclass(frozen=True, kw_only=True)
class Connection:
    """What connects a project to one webhook of the provider. All of it is secret but the header's name.

    Whoever has one in hand may stumble: from then on neither log nor traceback shows it.
    """

    webhook_url: str = field(repr=False)
    auth_header_name: str = ""
    auth_header_value: str = field(default="", repr=False)

    def __post_init__(self) -> None:
        remember(self.webhook_url, self.auth_header_value)


@dataclass(frozen=True, kw_only=True)
class Allowance:
    """What the provider lets one take: the pace of a workspace and the lifetime of a webhook."""

    rate_per_second: float | None  # None: unpaced
    burst: int
    submission_limit: int | None  # None: unlimited


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row as it goes out: the final JSON object and the ids by which it is found again."""

    payload: JsonObject
    request_id: str = ""  # never invented: "" when the caller gave none
    external_id: str = ""


@dataclass(frozen=True, kw_only=True)
class OutgoingRequest:
    """One POST, ready for `integrations.outbound`. Body and headers are secret until masked."""

    url: str = field(repr=False)
    body: bytes = field(repr=False)
    headers: Mapping[str, str] = field(repr=False)


class Failure(enum.StrEnum):
    """Why no complete answer came. The transport's own words: exception texts hold secrets and are never kept."""

    UNREACHABLE = "unreachable"  # the name does not resolve, or resolves to an address that we refuse: told alike
    CONNECT = "connect"  # refused, or no route
    CONNECT_TIMEOUT = "connect_timeout"
    TLS = "tls"  # no trusted certificate for this name, or the handshake failed
    TIMEOUT = "timeout"  # the whole exchange took longer than it may
    RESET = "reset"  # the connection ended before the answer did
    BAD_ANSWER = "bad_answer"  # what came back is not HTTP, or is encoded in a way we did not ask for
    TOO_LARGE = "too_large"  # the answer is longer than we read; what we kept is in `body`
    WITHHELD = "withheld"  # we stopped before the first byte, because we no longer had the right to send
    CRASHED = "crashed"  # our own process ended between sending and recording


@dataclass(frozen=True, kw_only=True)
class Exchange:
    """What became of one POST.

    `request_began` is recorded by the transport itself before it hands the first byte of the request to the socket;
    while it is False the far side cannot have seen a row. `status` is None when no status line was read. `failure`
    may stand beside a `status`: the status line came, the rest of the answer did not.
    """

    request_began: bool
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)  # names in lower case
    body: bytes = b""  # at most 64 KiB
    failure: Failure | None = None
    latency_ms: int = 0

    @property
    def accepted(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


class Stage(enum.StrEnum):
    """How far a test got, in this order."""

    ADDRESS = "address"  # the name resolved to an address that may be dialled
    CONNECTED = "connected"  # TCP and TLS stand
    SENT = "sent"
    ANSWERED = "answered"
    ACCEPTED = "accepted"


@dataclass(frozen=True, kw_only=True)
class Diagnosis:
    """What an exchange means, in words for a person who is not an engineer."""

    cause: str
    fix: str  # the one thing to do; "" when all is well
    at_limit: bool = False  # the provider says that this webhook takes no more, ever


class Action(Protocol):
    """One thing that a provider can do, such as `webhook.submit`."""

    @property
    def suffix(self) -> str:
        """The action's name without the provider's id."""

    @property
    def title(self) -> str: ...

    @property
    def description(self) -> str: ...

    @property
    def input_schema(self) -> JsonObject: ...

    @property
    def output_schema(self) -> JsonObject: ...

    def read(self, parameters: JsonObject) -> Row:
        """The row that these rendered parameters ask for. Raises ActionInputInvalid."""

    def request(self, connection: Connection, row: JsonObject) -> OutgoingRequest:
        """The POST that submits `row`. Raises ActionInputInvalid when it is larger than the provider takes."""

    def output(self, exchange: Exchange, request_id: str) -> JsonObject:
        """The action's output for an accepted exchange."""


@dataclass(frozen=True, kw_only=True)
class Provider:
    """One outside service, declared. `id` is the folder's name and is set by the registry."""

    name: str  # for people: "Clay"
    description: str
    category: str
    auth_kind: AuthKind
    connect_flow: ConnectFlow
    capabilities: Capabilities
    connect_form: type[forms.Form]
    allowance: Allowance
    actions: tuple[Action, ...]
    sample_row: JsonObject  # what a test sends; an admin may edit it first
    diagnose: Callable[[Exchange], Diagnosis]
    where_to_find: tuple[str, ...] = ()  # the clicks on the far side that lead to what the form asks for
    test_costs: str = ""  # what a test uses up, in a sentence
    docs_url: str = ""
    recipes: RecipeBook | None = None  # None: it cannot call us
    id: str = ""

    def action_name(self, action: Action) -> str:
        return f"{self.id}.{action.suffix}"

    @property
    def submit(self) -> Action:
        """The action that a test of the connection uses."""
        return self.actions[0]
