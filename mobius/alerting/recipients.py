"""Who is mailed about what: added, changed, removed, and tried out."""

from __future__ import annotations

from collections.abc import Iterable

from django.core.exceptions import ValidationError
from django.core.validators import validate_email
from django.db import IntegrityError, transaction

from mobius import clock
from mobius.alerting import telling, wording
from mobius.alerting.conditions import Condition
from mobius.alerting.models import Mail, MailKind, Recipient
from mobius.errors import AlreadyExists, Conflict, InvalidFields, NotFound
from mobius.projects import auditing, throttling
from mobius.projects.auditing import Actor
from mobius.projects.models import Membership, Project

LONGEST_ADDRESS = 254
MOST_RECIPIENTS = 50
"""In a project. Nobody asks them whether they want mail from here, so they are few; a mailing list is one of them."""


class TooManyRecipients(Conflict):
    """The project mails as many addresses as it may: remove one, or give the address of a mailing list instead."""


def add_recipient(*, project: Project, address: str, membership: Membership | None = None, by: Actor) -> Recipient:
    """Mail every alert of the project to `address`, or to the member's own where that is empty.

    Raises InvalidFields, AlreadyExists and TooManyRecipients.
    """
    address = (address or (membership.user.email if membership else "")).strip()
    _demand_address(address, membership)
    recipient = Recipient(project=project, address=address, membership=membership, created_by=by.name[:200])
    recipient.conditions, recipient.created_at = list(Condition.values), clock.now()
    try:
        with transaction.atomic():
            _demand_room(project)
            recipient.save(force_insert=True)
            _note(by, "add", recipient)
    except IntegrityError:
        raise AlreadyExists(f"{address} is told already; tick above of what.") from None
    return recipient


def choose_conditions(recipient: Recipient, conditions: Iterable[str], *, by: Actor) -> bool:
    """Tell it of these from now on, and of no others. False when that is so already. Raises InvalidFields, NotFound."""
    wanted = set(conditions)
    if unknown := wanted - set(Condition.values):
        raise InvalidFields({"conditions": [f"There is no condition `{min(unknown)[:60]}`."]})
    chosen = [value for value in Condition.values if value in wanted]
    if chosen == recipient.conditions:
        return False
    with transaction.atomic():
        _demand_present(recipient)
        recipient.conditions = chosen
        recipient.save(update_fields=["conditions"])
        _note(by, "change", recipient, changed=["conditions"])
    return True


@transaction.atomic
def remove_recipient(recipient: Recipient, *, by: Actor) -> None:
    """It is told nothing any more, and what was still to be sent is not. The log of what it was sent stays."""
    _note(by, "remove", recipient)
    recipient.delete()


def send_test(recipient: Recipient, *, by: Actor) -> Mail:
    """A mail that says that alerts reach it. What became of it is in the log soon after.

    Raises RateLimitExceeded when one was asked for within the last minute, in whichever project.
    """
    throttling.take_test_mail(recipient.address)
    project = recipient.project
    subject, text = wording.subject_of_test(project), wording.text_of_test(project, by=by.name)
    with transaction.atomic():
        _demand_present(recipient)
        _note(by, "test", recipient)
        return telling.write(project, recipient, MailKind.TEST, subject=subject, text=text, now=clock.now(), alert=None)


def _demand_room(project: Project) -> None:
    """The project's row is held until the new recipient is there: of two who ask for the last place one gets it."""
    Project.objects.select_for_update(no_key=True).get(pk=project.pk)
    if Recipient.objects.of_project(project).count() >= MOST_RECIPIENTS:
        raise TooManyRecipients


def _demand_present(recipient: Recipient) -> None:
    """Nobody removes it before the transaction ends. Raises NotFound."""
    if Recipient.objects.select_for_update(no_key=True).filter(pk=recipient.pk).values("pk").first() is None:
        raise NotFound("Somebody has removed this recipient meanwhile.")


def _demand_address(address: str, membership: Membership | None) -> None:
    """Raises InvalidFields."""
    if not address and membership is not None:
        sentence = f"The account of {membership.user} has no e-mail address: write it here."
        raise InvalidFields({"address": [sentence]})
    try:
        if len(address) > LONGEST_ADDRESS:
            raise ValidationError("too long")
        validate_email(address)
    except ValidationError:
        raise InvalidFields({"address": ["Write an e-mail address such as ada@example.com."]}) from None


def _note(by: Actor, deed: str, recipient: Recipient, *, changed: Iterable[str] = ()) -> None:
    auditing.record(
        by,
        f"alert_recipient.{deed}",
        project_id=recipient.project_id,
        kind="alert_recipient",
        id=recipient.pk,
        name=recipient.address,
        changed=changed,
    )
