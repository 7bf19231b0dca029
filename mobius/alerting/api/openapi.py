"""What the description of `/v1` says about alerts."""

from __future__ import annotations

from mobius.alerting.api.shapes import ALERT
from mobius.alerting.api.views import AlertViewSet
from mobius.api.operations import Operation, ok, page_query
from mobius.api.shapes import page_of

OPERATIONS = {
    (AlertViewSet, "list"): Operation(
        id="listAlerts",
        summary="List what needs a person",
        description="Open alerts, the latest first.",
        query=page_query(),
        answers=ok(page_of(ALERT)),
    ),
}
