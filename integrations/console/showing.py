"""What the pages show, gathered and put into words, so that templates hold neither rules nor arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from integrations.models import Attempt, AttemptKind, AttemptState, Integration, Webhook, WebhookState
from integrations.probing import Probe
from integrations.providers.contract import Failure, Provider, Stage
from integrations.providers.registry import all_providers, get_provider
from integrations.recalling import recall
from integrations.usage import Fullness, Usage, usage_of_each
from mobius import clock
from mobius.projects.models import Project

LAST_ATTEMPTS = 20
LAST_WEBHOOKS = 20
_COUNTED_AT_MOST = 1_000
SHARING_SHOWN = 10
_ANSWER_SHOWN = 2000

_STAGE_WORDS = {
    Stage.ADDRESS: "Address found",
    Stage.CONNECTED: "Certificate trusted",
    Stage.SENT: "Row sent",
    Stage.ANSWERED: "Answer received",
    Stage.ACCEPTED: "Row accepted",
}
_VERDICTS = {
    AttemptState.SENDING: "The test row is on its way",
    AttemptState.ACCEPTED: "{provider} accepted the test row",
    AttemptState.REFUSED: "{provider} refused the test row",
    AttemptState.NOT_SENT: "The test row could not be sent",
    AttemptState.IN_DOUBT: "Nobody knows whether the test row arrived",
    AttemptState.ABANDONED: "The test row was given up",
}


@dataclass(frozen=True, kw_only=True)
class Budget:
    """A webhook's usage in words and as a bar; no bar (`limit` None) when there is no limit."""

    usage: Usage
    successor: Webhook | None = None

    @property
    def warning(self) -> str:
        """What to do about a budget that goes to its end; "" as long as there is plenty, or no limit."""
        if self.usage.fullness is None:
            return ""
        used = f"{self.usage.percent} % of the submissions are used."
        if self.successor is None:
            return f"{used} Stage a successor, so that nothing stops."
        if not self.successor.ready:
            return f"{used} Test the successor: until then it cannot take over."
        return f"{used} At the limit the successor takes over by itself."

    @property
    def taken(self) -> int:
        return self.usage.used + self.usage.possibly_used

    @property
    def text(self) -> str:
        if self.usage.limit is None:
            return f"{self.taken:,} used, no limit"
        return f"{self.taken:,} of {self.usage.limit:,} used"

    @property
    def amber(self) -> int:
        return self.usage.rows_at(Fullness.THREE_QUARTERS)

    @property
    def red(self) -> int:
        return self.usage.rows_at(Fullness.NEARLY_FULL)

    @property
    def numbers(self) -> list[tuple[str, str]]:
        usage = self.usage
        return [
            ("Used", f"{usage.used:,}"),
            ("In doubt", f"{usage.possibly_used:,}"),
            ("On the way", f"{usage.in_flight:,}"),
            ("Left", "No limit" if usage.left is None else f"{usage.left:,}"),
        ]

    @property
    def forecast(self) -> str:
        usage = self.usage
        if usage.limit is None:
            return "This webhook has no submission limit."
        if usage.left == 0 and usage.in_flight == 0:
            then = " Connect the URL of a new webhook." if self.successor is None else ""
            return f"All {usage.limit:,} submissions are gone.{then}"
        if usage.forecast_at is None:
            return "No forecast yet: too few rows were sent in the last seven days."
        if (usage.forecast_at - clock.now()).days > 5 * 365:
            return "At the pace of the last seven days the limit is more than five years away."
        day = f"{usage.forecast_at.day} {usage.forecast_at:%B %Y}"
        return f"At the pace of the last seven days the limit is reached on {day}."


@dataclass(frozen=True, kw_only=True)
class Connected:
    """An integration with the webhook that its rows go to."""

    integration: Integration
    provider: Provider
    webhook: Webhook | None
    budget: Budget | None
    successor: Webhook | None
    webhooks: Sequence[tuple[Webhook, Budget]] = ()  # those in use, then what it had; not in lists


@dataclass(frozen=True, kw_only=True)
class ProviderCard:
    provider: Provider
    capability_map: Sequence[tuple[str, str]]
    integrations: Sequence[Connected]


@dataclass(frozen=True, kw_only=True)
class StageReached:
    word: str
    reached: bool


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What a test found, for a person."""

    probe: Probe
    verdict: str
    stages: Sequence[StageReached]

    @property
    def answer(self) -> str:
        return self.probe.attempt.response[:_ANSWER_SHOWN]

    @property
    def row_is_missing(self) -> bool:
        """Is it sure that there is no row, so that nothing can call back for it?"""
        return AttemptState(self.probe.attempt.state).is_without_a_row


def connected(project: Project) -> list[Connected]:
    """The project's integrations, by name."""
    return _show_each(list(Integration.objects.filter(project=project).select_related("pacer").order_by("name")))


def show(integration: Integration) -> Connected:
    webhooks = list(Webhook.objects.history_of(integration)[:LAST_WEBHOOKS])
    usages = usage_of_each(webhooks, now=clock.now())
    by_state = {webhook.state: webhook for webhook in reversed(webhooks)}
    shown = _shown(integration, by_state.get(WebhookState.CURRENT), by_state.get(WebhookState.STAGED), usages)
    return replace(shown, webhooks=[(webhook, Budget(usage=usages[webhook.pk])) for webhook in webhooks])


def _show_each(integrations: Sequence[Integration]) -> list[Connected]:
    """In a fixed number of queries."""
    by_place = Webhook.objects.by_place(integrations)
    usages = usage_of_each(list(by_place.values()), now=clock.now())
    return [
        _shown(one, by_place.get((one.pk, WebhookState.CURRENT)), by_place.get((one.pk, WebhookState.STAGED)), usages)
        for one in integrations
    ]


def _shown(
    integration: Integration, webhook: Webhook | None, successor: Webhook | None, usages: Mapping[str, Usage]
) -> Connected:
    budget = Budget(usage=usages[webhook.pk], successor=successor) if webhook else None
    return Connected(
        integration=integration,
        provider=get_provider(integration.provider),
        webhook=webhook,
        budget=budget,
        successor=successor,
    )


def provider_cards(integrations: Sequence[Connected]) -> list[ProviderCard]:
    """Every provider there is, with those of `integrations` that are its own."""
    return [
        ProviderCard(
            provider=provider,
            capability_map=capability_map(provider),
            integrations=[one for one in integrations if one.provider.id == provider.id],
        )
        for provider in all_providers().values()
    ]


def capability_map(provider: Provider) -> list[tuple[str, str]]:
    """The table of the founding document, line for line."""
    can = provider.capabilities
    return [
        ("Provider ID", provider.id),
        ("Auth kind", provider.auth_kind.value),
        ("Connect flow", provider.connect_flow.label),
        ("Actions", _yes_or_no(can.actions)),
        ("Events", _yes_or_no(can.events)),
        ("Webhook delivery", _yes_or_no(can.webhook_delivery)),
        ("Event samples", _yes_or_no(can.event_samples)),
        ("Live status", _yes_or_no(can.live_status)),
    ]


def sharing_pace(integration: Integration) -> list[str]:
    """The names of the others whose rows leave at one pace with its own."""
    others = Integration.objects.filter(pacer=integration.pacer_id).exclude(pk=integration.pk)
    return list(others.order_by("name").values_list("name", flat=True)[:SHARING_SHOWN])


def last_attempts(integration: Integration) -> list[Attempt]:
    """The newest first, without their bodies."""
    return list(integration.attempts.without_bodies().order_by("-pk")[:LAST_ATTEMPTS])


def open_rows(integration: Integration) -> tuple[str, int, int]:
    """How many attempts there are, in words; how many of them are on their way, and how many in doubt."""
    webhooks = Webhook.objects.filter(integration=integration)
    by_state = Attempt.objects.known_by_others_to_be_through(integration.pk).filter(webhook__in=webhooks)
    most = integration.attempts.order_by()[: _COUNTED_AT_MOST + 1].count()
    if most > _COUNTED_AT_MOST:
        words = f"More than {_COUNTED_AT_MOST:,} deliveries"
    else:
        words = "1 delivery" if most == 1 else f"{most:,} deliveries"
    return words, by_state.sending().count(), by_state.in_doubt().count()


def outcome_of_test(integration: Integration, attempt_id: str) -> Outcome | None:
    """What came of one test of this integration."""
    found = integration.attempts.filter(kind=AttemptKind.TEST, pk=attempt_id).select_related("webhook")
    attempt = found.first() if attempt_id else None
    if attempt is None:
        return None
    probe = recall(attempt)
    return Outcome(
        probe=probe,
        verdict=_VERDICTS[AttemptState(attempt.state)].format(provider=get_provider(integration.provider).name),
        stages=_stages(probe),
    )


def _stages(probe: Probe) -> list[StageReached]:
    """How far the row got; the connection and its encryption apart, for they fail for different reasons."""
    reached = [StageReached(word=word, reached=stage in probe.stages) for stage, word in _STAGE_WORDS.items()]
    encrypted = reached[1].reached
    connected = StageReached(word="Connected", reached=encrypted or probe.attempt.failure == Failure.TLS)
    return [reached[0], connected, *reached[1 if probe.attempt.webhook.url_scheme == "https" else 2 :]]


def _yes_or_no(can: bool) -> str:
    return "Yes" if can else "No"
