"""What the processes that carry runs on know of each other."""

from __future__ import annotations

from datetime import datetime
from typing import Self

from django.db import models

from mobius.fields import id_field


class Chore(models.Model):
    """Something that is done every so often, by one of all the processes."""

    name = models.CharField(primary_key=True, max_length=40)
    due_at = models.DateTimeField()

    def __str__(self) -> str:
        return self.name


class WorkerQuerySet(models.QuerySet["Worker"]):
    def alive(self, *, since: datetime) -> Self:
        return self.filter(beaten_at__gt=since)


class Worker(models.Model):
    """A process that carries runs on, beside others. The embedded engine is one process and has none."""

    id = id_field("wrk")
    beaten_at = models.DateTimeField()  # when it was heard of last, in database time

    objects = WorkerQuerySet.as_manager()

    def __str__(self) -> str:
        return self.id
