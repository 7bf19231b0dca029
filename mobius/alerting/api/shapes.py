"""What `/v1` shows of alerts."""

from __future__ import annotations

from mobius.alerting.conditions import Condition
from mobius.api.shapes import Named, closed, ident, moment, one_of, or_null, text, whole

ALERT = Named(
    "Alert",
    closed(
        {
            "id": ident("alert"),
            "condition": one_of(Condition),
            "object_id": text("intg_01k9x3m5tq8d2v7w4hnc", description="The id of what it is about."),
            "object_name": text("clay", description="Empty: the project itself."),
            "level": whole(90, description="How bad it is; of a budget, the percentage."),
            "summary": text("90 % of 50,000 rows used"),
            "detail": text(""),
            "to_do": text("Stage a successor on the integration's page."),
            "url": text("https://console.example.com/projects/platform/govern/integrations/intg_01k9x3m5tq8d2v7w4hnc/"),
            "opened_at": moment(),
            "closed_at": or_null(moment()),
        }
    ),
)
