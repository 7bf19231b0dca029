"""Forgetting what old mails said. The log itself stays."""

from __future__ import annotations

from datetime import datetime

from integrations.purging import Walk
from mobius.alerting.models import Mail


def through_mails() -> Walk:
    return Walk(name="alert mails", objects=Mail.objects, made_at="created_at", forget=_blank)


def _blank(ids: list[str], before: datetime) -> int:
    return Mail.objects.to_purge(before).filter(pk__in=ids).update(text="")
