"""Connecting a project to a provider, and everything that changes the connection afterwards."""

from __future__ import annotations

from collections.abc import Iterable
from urllib.parse import urlsplit

from django.db import IntegrityError, transaction

from integrations.forms import UNLIMITED, Options
from integrations.models import (
    Integration,
    IntegrationStatus,
    Pacer,
    Webhook,
    WebhookSecret,
    WebhookState,
)
from integrations.providers.contract import Connection, Provider
from integrations.secrets import fingerprint, prove_key
from mobius import clock
from mobius.engine.sqlite3.erasing import erase_after_commit
from mobius.errors import AlreadyExists, Conflict, NotFound
from mobius.ids import new_id
from mobius.projects import auditing
from mobius.projects.auditing import SYSTEM, Actor
from mobius.projects.models import Project
from mobius.redacting import remember

DEFAULT_WORKSPACE = "default"
UNCHANGED = Options()


@transaction.atomic
def connect(
    *, project: Project, provider: Provider, connection: Connection, options: Options = UNCHANGED, by: Actor = SYSTEM
) -> Integration:
    """Store `connection` as the project's integration of that name, replacing what it had before.

    The same address keeps its count and its ledger; another address starts its own. Raises Conflict when the address
    belongs to another integration of the project.
    """
    hold(project.pk)
    name = options.name or provider.id
    integration = Integration.objects.filter(project=project, provider=provider.id, name=name).first()
    pacer = pacer_for(project=project, provider=provider, options=options, integration=integration)
    if integration is None:
        integration = Integration(project=project, provider=provider.id, name=name, created_by=by.principal_id or by.id)
    integration.pacer = pacer
    if not integration.held:
        integration.status, integration.attention = IntegrationStatus.ACTIVE, ""
    elif integration.status == IntegrationStatus.EXPIRED:  # connected again, and still held
        integration.status = IntegrationStatus.INACTIVE
    integration.save()
    webhook = webhook_at(project=project, provider=provider, integration=integration, url=connection.webhook_url)
    _make_current(webhook, integration)
    set_options(webhook, options)
    keep_secret(webhook, connection)
    note(by, "connect", integration, changed=["webhook_url", "auth_header_name", "auth_header_value"])
    return integration


@transaction.atomic
def rotate(
    integration: Integration, *, auth_header_name: str, auth_header_value: str, by: Actor = SYSTEM
) -> Integration:
    """Replace the auth header; the address, its count and its ledger stay. Two empty texts take the header away."""
    remember("", auth_header_value)
    hold(integration.project_id)
    prove_key(hold=True)
    webhook = current_webhook(integration)
    webhook.auth_header_name = auth_header_name
    webhook.refusals_in_a_row = 0
    webhook.save(update_fields=["auth_header_name", "refusals_in_a_row"])
    WebhookSecret.objects.filter(pk=webhook.pk).update(auth_header_value=auth_header_value, updated_at=clock.now())
    erase_after_commit()
    note(by, "rotate", integration, changed=["auth_header_name", "auth_header_value"])
    return activate(integration)


@transaction.atomic
def pause(integration: Integration, *, reason: str = "", why: str = "", by: Actor = SYSTEM) -> Integration:
    """Send nothing until somebody resumes; rows wait.

    `reason` is shown when it was not a person's wish; `why` a person wished it stands in the audit alone.
    """
    if integration.held or (integration.status, integration.attention) == (IntegrationStatus.INACTIVE, reason):
        return integration
    integration.status, integration.attention = IntegrationStatus.INACTIVE, reason
    save(integration, "status", "attention")
    note(by, "pause", integration, reason=reason or why)
    return integration


@transaction.atomic
def resume(integration: Integration, *, why: str = "", by: Actor = SYSTEM) -> Integration:
    """Send again, also after a restore. The sweep wakes the rows that wait."""
    if integration.status == IntegrationStatus.ACTIVE and not integration.held and not integration.attention:
        return integration
    hold(integration.project_id)
    note(by, "resume", integration, reason=why)
    integration.held_since = None
    return activate(integration)


def activate(integration: Integration) -> Integration:
    """Send again, as a part of something else that the audit names; but not what is held since a restore."""
    if not integration.held:
        integration.status, integration.attention = IntegrationStatus.ACTIVE, ""
    save(integration, "status", "attention", "held_since")
    Webhook.objects.filter(integration=integration, state=WebhookState.CURRENT).update(refusals_in_a_row=0)
    return integration


def save(integration: Integration, *fields: str) -> None:
    """Write these fields. Raises NotFound when somebody has disconnected it meanwhile."""
    if Integration.objects.select_for_update(no_key=True).filter(pk=integration.pk).values("pk").first() is None:
        raise NotFound("Somebody has disconnected this integration meanwhile.")
    integration.save(update_fields=[*fields, "updated_at"])


def clear_attention(integration: Integration) -> None:
    """What was wrong is mended: a row went through."""
    Integration.objects.filter(pk=integration.pk, held_since=None).exclude(attention="").update(attention="")


def rename(integration: Integration, name: str, *, by: Actor = SYSTEM) -> Integration:
    """Raises AlreadyExists when the provider has another integration of this name in the project."""
    with transaction.atomic():
        hold(integration.project_id)
        set_name(integration, name)
        note(by, "rename", integration, changed=["name"])
    return integration


def set_name(integration: Integration, name: str) -> None:
    """Rename, as a part of something else that the audit names. Raises AlreadyExists."""
    integration.name = name
    try:
        with transaction.atomic():
            save(integration, "name")
    except IntegrityError:
        raise AlreadyExists(f"There is an integration named {name} already.") from None


@transaction.atomic
def disconnect(integration: Integration, *, by: Actor = SYSTEM) -> None:
    """Erase the secrets and the integration. Counts, attempts and ledger stay, for Clay does not forget them either."""
    hold(integration.project_id)
    note(by, "disconnect", integration)
    WebhookSecret.objects.filter(webhook__integration=integration).delete()
    erase_after_commit()
    Webhook.objects.filter(integration=integration).update(state=WebhookState.RETIRED, integration=None)
    integration.delete()


def hold(project_id: str) -> None:
    """Until the transaction ends nobody else changes what the project is connected to. Two who did so at once would
    make an integration twice, or hold what the other waits for."""
    Project.objects.select_for_update(no_key=True).get(pk=project_id)


def current_webhook(integration: Integration) -> Webhook:
    """The webhook that rows go to."""
    webhook = Webhook.objects.current_of(integration)
    if webhook is None:
        raise Conflict("This integration has no webhook; connect it again.")
    return webhook


def note(by: Actor, deed: str, integration: Integration, *, reason: str = "", changed: Iterable[str] = ()) -> None:
    """Write the deed down in the audit, in the transaction of the deed. `changed` names fields, never values."""
    auditing.record(
        by,
        f"integration.{deed}",
        project_id=integration.project_id,
        kind="integration",
        id=integration.pk,
        name=integration.name,
        reason=reason,
        changed=changed,
    )


def pacer_for(*, project: Project, provider: Provider, options: Options, integration: Integration | None) -> Pacer:
    """The pacer of the workspace that `options` name, else the integration's own; made when it is new.

    Rows per second and burst are set for all integrations of the workspace.
    """
    allowance = provider.allowance
    if options.workspace is None and integration is not None:
        pacer = integration.pacer
    else:
        pacer, _ = Pacer.objects.get_or_create(
            project=project,
            label=options.workspace or DEFAULT_WORKSPACE,
            defaults={"rate_per_second": allowance.rate_per_second, "burst": allowance.burst},
        )
    if options.rate_per_second is not None:
        rate = options.rate_per_second
        pacer.rate_per_second = None if isinstance(rate, str) else rate
        pacer.save(update_fields=["rate_per_second"])
    if options.burst is not None:
        pacer.burst = options.burst
        pacer.save(update_fields=["burst"])
    return pacer


def webhook_at(*, project: Project, provider: Provider, integration: Integration, url: str) -> Webhook:
    """The record of this address: an earlier one with its count, or a new one with its own destination, not yet saved.

    An earlier one is held until the transaction ends, for its count moves while rows are sent. Raises Conflict when
    the address belongs to another integration of the project.
    """
    known_as = fingerprint(url)
    known = Webhook.objects.select_for_update(no_key=True).filter(project=project, url_fingerprint=known_as)
    webhook = known.first()
    if webhook is None:
        return Webhook(
            project=project,
            url_fingerprint=known_as,
            url_scheme=urlsplit(url).scheme,
            url_host=urlsplit(url).netloc.lower(),
            url_last4=url[-4:],
            destination=new_id("dst"),
            submission_limit=provider.allowance.submission_limit,
        )
    holder = None if webhook.state == WebhookState.RETIRED else webhook.integration
    if holder is not None and holder != integration:
        raise Conflict(
            f"This webhook is connected already, as {holder.name}. Disconnect it there, or paste another webhook's URL."
        )
    return webhook


def retire(webhooks: Iterable[str]) -> None:
    """Send nothing to these any more, and erase what opens them. Count and log stay."""
    ids = list(webhooks)
    WebhookSecret.objects.filter(webhook__in=ids).delete()
    erase_after_commit()
    Webhook.objects.filter(pk__in=ids).update(state=WebhookState.RETIRED)


def set_options(webhook: Webhook, options: Options) -> None:
    """Set limit and count on `webhook`, which the caller saves."""
    if options.submission_limit is not None:
        webhook.submission_limit = None if options.submission_limit == UNLIMITED else int(options.submission_limit)
    if options.submissions_used is not None:
        webhook.used = counted(webhook, options.submissions_used)


def counted(webhook: Webhook, rows: int) -> int:
    """What `used` becomes when the other side counts `rows`: what is in doubt may exist beyond them."""
    return rows + webhook.attempts.in_doubt().count()


def keep_secret(webhook: Webhook, connection: Connection) -> None:
    """Save `webhook` with what opens it."""
    webhook.auth_header_name = connection.auth_header_name
    webhook.refusals_in_a_row = 0
    prove_key(hold=True)
    webhook.save()
    secret = {"url": connection.webhook_url, "auth_header_value": connection.auth_header_value}
    # What is replaced is not read first: it may be unreadable, and that is why somebody connects again.
    if WebhookSecret.objects.filter(pk=webhook.pk).update(**secret, updated_at=clock.now()):
        erase_after_commit()
    else:
        WebhookSecret.objects.create(webhook=webhook, **secret)


def _make_current(webhook: Webhook, integration: Integration) -> None:
    """Rows go to `webhook` from now on. A staged one stays staged, for the table that is connected now."""
    others = Webhook.objects.filter(integration=integration).exclude(pk=webhook.pk)
    retire(others.filter(state=WebhookState.CURRENT).values_list("pk", flat=True))
    others.filter(state=WebhookState.STAGED).update(destination=webhook.destination)
    webhook.integration, webhook.state = integration, WebhookState.CURRENT
