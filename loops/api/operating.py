"""`/v1`: cancel, retry, resume and signal a run, and settle a delivery in doubt (mobius-contract §7.3, design §7)."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import ClassVar

from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from integrations.api.serializing import delivery_json
from integrations.models import Attempt
from integrations.settling import Decision
from loops import operating
from loops.api.finding import find_run
from loops.api.serializing import run_json
from loops.models import Run
from loops.retrying import LONGEST_EXTENSION, resume, retry
from loops.settling import settle
from mobius.api.serializing import RequestSerializer
from mobius.errors import NotFound
from mobius.projects.api.viewsets import ProjectViewSet
from mobius.projects.auditing import LONGEST_REASON
from mobius.projects.roles import Permission


class ReasonSerializer(RequestSerializer):
    reason = serializers.CharField(max_length=LONGEST_REASON, required=False, allow_blank=True, default="")


class RecoverySerializer(ReasonSerializer):
    wall_clock_extend_seconds = serializers.IntegerField(
        min_value=1, max_value=int(LONGEST_EXTENSION.total_seconds()), required=False
    )
    # Budgets are Mobius's own (mobius-contract §7.1): accepted and ignored.
    budget_usd = serializers.FloatField(required=False)
    credit_budget = serializers.IntegerField(required=False)


class SignalSerializer(RequestSerializer):
    step_key = serializers.CharField(max_length=100)
    result = serializers.DictField(required=False, default=dict)


class SettleSerializer(RequestSerializer):
    decision = serializers.ChoiceField(choices=Decision.choices)
    reason = serializers.CharField(max_length=LONGEST_REASON)


class OperatingViewSet(ProjectViewSet):
    needs: ClassVar = dict.fromkeys(("cancel", "retry", "resume", "signal"), Permission.OPERATE)

    def cancel(self, request: Request, project: str, run: str) -> Response:
        found = self._run(run)
        wanted = ReasonSerializer.read(request.data)
        return Response(run_json(operating.cancel(found, by=self.actor, reason=wanted["reason"])))

    def retry(self, request: Request, project: str, run: str) -> Response:
        return self._go_on(request, run, retry)

    def resume(self, request: Request, project: str, run: str) -> Response:
        return self._go_on(request, run, resume)

    def signal(self, request: Request, project: str, run: str) -> Response:
        found = self._run(run)
        wanted = SignalSerializer.read(request.data)
        return Response(run_json(operating.signal(found, **wanted, by=self.actor)))

    def _go_on(self, request: Request, run_id: str, verb: Callable[..., Run]) -> Response:
        found = self._run(run_id)
        wanted = RecoverySerializer.read(request.data)
        extend = timedelta(seconds=wanted.get("wall_clock_extend_seconds", 0))
        run = verb(found, by=self.actor, reason=wanted["reason"], extend=extend)
        return Response(run_json(run), status=202)

    def _run(self, run_id: str) -> Run:
        return find_run(Run.objects.of_project(self.project), run_id)


class SettlingViewSet(ProjectViewSet):
    """Here and not beside the other calls of deliveries, because a settled delivery moves its run."""

    needs: ClassVar = {"settle": Permission.OPERATE}

    def settle(self, request: Request, project: str, delivery: str) -> Response:
        attempt = Attempt.objects.of_project(self.project).filter(pk=delivery).first()
        if attempt is None:
            raise NotFound("There is no such delivery.")
        wanted = SettleSerializer.read(request.data)
        settled = settle(attempt, Decision(wanted["decision"]), reason=wanted["reason"], by=self.actor)
        return Response(delivery_json(settled))
