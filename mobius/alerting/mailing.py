"""Sends mails about alerts: by a thread of its own, never in a request and never in a transaction.

At least once: an attempt that nobody wrote down, because its process died, is made again after the lease, under the
same Message-ID, by which mailboxes tell.
"""

from __future__ import annotations

import smtplib
import ssl
import time
from collections.abc import Callable
from datetime import datetime, timedelta

from django.conf import settings
from django.core.mail import EmailMessage
from django.db import transaction
from django.db.models import F

from mobius import clock
from mobius.alerting.models import Mail, MailState
from mobius.alerting.telling import NO_MAIL_SERVER
from mobius.engine.pool import Pool
from mobius.errors import Conflict
from mobius.projects import auditing
from mobius.projects.auditing import Actor
from mobius.redacting import redact

LEASE = timedelta(minutes=3)
"""An attempt that is not written down by then is taken for dead. A mail server may be slow in each of its answers."""
PAUSES = tuple(timedelta(seconds=seconds) for seconds in (30, 120, 600, 1800, 3600, 10800, 21600))
"""Before the second attempt, the third, … the eighth: about twelve hours in all."""
MOST_ATTEMPTS = len(PAUSES) + 1
NOBODY = "The recipient was removed, or cannot sign in any more, before this was sent."
GIVEN_UP = "Every attempt to send it broke off; this console's log has the details."

_LOOKS_EVERY_SECONDS = 1.0

_pools: list[Pool] = []
_looks_at = [0.0]


def use_pool(pool: Pool | None) -> None:
    """Name the thread of this process that sends mails, or say that it has none (any more)."""
    _pools[:] = [pool] if pool else []


def hand_out(*, now: datetime) -> None:
    """Give this process's thread the mail that is due. Safe in several processes at once; one mail at a time."""
    if not _pools or time.monotonic() < _looks_at[0] or _pools[0].is_behind:
        return
    _looks_at[0] = time.monotonic() + _LOOKS_EVERY_SECONDS
    for mail in Mail.objects.due(now).without_texts()[:1]:
        if claim(mail, now=now):
            _pools[0].put(mail.pk)


def claim(mail: Mail, *, now: datetime) -> bool:
    """Take the mail, which is due, for one attempt. False: somebody else was quicker."""
    due = Mail.objects.filter(pk=mail.pk, due_at=mail.due_at)
    return bool(due.update(state=MailState.PROCESSING, attempts=F("attempts") + 1, due_at=now + LEASE))


def resend(mail: Mail, *, by: Actor, why: str = "") -> Mail:
    """Send it once more, with eight new attempts and under its own Message-ID. Raises Conflict."""
    with transaction.atomic():
        held = (
            Mail.objects.select_for_update(of=("self",)).select_related("recipient__membership__user").get(pk=mail.pk)
        )
        if held.due_at is not None:
            raise Conflict("This mail is under way already.")
        if not held.text:
            raise Conflict("The text of this mail is older than bodies are kept, so it cannot be sent again.")
        if not _still_wanted(held):
            raise Conflict(NOBODY)
        if not settings.MOBIUS_SENDS_MAIL:
            raise Conflict(NO_MAIL_SERVER)
        held.state, held.attempts, held.due_at, held.last_error = MailState.PENDING, 0, clock.now(), ""
        held.save(update_fields=["state", "attempts", "due_at", "last_error"])
        auditing.record(
            by, "alert.resend", project_id=held.project_id, kind="mail", id=held.pk, name=held.address, reason=why
        )
    return held


def hold_mails() -> None:
    """This is a copy: what was to be told is told by the original."""
    Mail.objects.unfinished().update(state=MailState.FAILED, due_at=None, last_error="Held since a restore.")


def carry(mail_id: str, _go_on: Callable[[], bool] = lambda: True) -> None:
    """Make the attempt that was claimed, and write down what came of it."""
    mails = Mail.objects.select_related("recipient__membership__user").filter(state=MailState.PROCESSING)
    mail = mails.filter(pk=mail_id).first()
    if mail is None:
        return
    if not _still_wanted(mail):
        _record(mail, error=NOBODY, for_good=True)
        return
    error, for_good = _send(mail) if mail.attempts <= MOST_ATTEMPTS else (GIVEN_UP, True)
    _record(mail, error=error, for_good=for_good)


def _still_wanted(mail: Mail) -> bool:
    recipient = mail.recipient
    if recipient is None:
        return False
    return recipient.membership is None or recipient.membership.user.is_active


def _send(mail: Mail) -> tuple[str, bool]:
    """What went wrong ("": nothing), and whether another attempt would be in vain."""
    letter = EmailMessage(
        subject=mail.subject,
        body=mail.text,
        to=[mail.address],
        headers={"Message-ID": f"<{mail.pk}@mobius>", "Auto-Submitted": "auto-generated"},
    )
    try:
        letter.send()
    except smtplib.SMTPRecipientsRefused as error:
        code, said = next(iter(error.recipients.values()))
        return f"The mail server refuses this address: {code} {_words(said)}", code >= 500
    except smtplib.SMTPAuthenticationError:
        return "The mail server refuses the user or the password in EMAIL_URL.", False
    except smtplib.SMTPResponseException as error:
        return f"The mail server answered {error.smtp_code} {_words(error.smtp_error)}", False
    except ssl.SSLError:
        return "The mail server's certificate is not valid, or it speaks no TLS on this port.", False
    except (OSError, smtplib.SMTPException) as error:  # smtplib wraps a time-out of a connection that stood
        if isinstance(error, TimeoutError) or isinstance(error.__context__, TimeoutError):
            return f"The mail server did not answer within {settings.EMAIL_TIMEOUT} seconds.", False
        return "The mail server could not be reached, or broke off. Is EMAIL_URL right?", False
    except ValueError:  # an address or a header that no letter can have
        return "This address cannot be written to.", True
    return "", False


def _words(said: bytes | str) -> str:
    text = said.decode(errors="replace") if isinstance(said, bytes) else said
    return redact(" ".join(text.split()))[:300]


def _record(mail: Mail, *, error: str, for_good: bool) -> None:
    now = clock.now()
    again = None if not error or for_good or mail.attempts >= MOST_ATTEMPTS else now + PAUSES[mail.attempts - 1]
    state = MailState.SENT if not error else MailState.FAILED if again is None else MailState.PENDING
    # The number of the attempt is the fence: whoever was given up for dead writes nothing any more.
    ours = Mail.objects.filter(pk=mail.pk, attempts=mail.attempts, state=MailState.PROCESSING)
    ours.update(state=state, due_at=again, last_error=error[:500], sent_at=None if error else now)
