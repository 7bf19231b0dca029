"""Integrations and every row that went out, for support staff."""

from __future__ import annotations

from integrations.admin import deliveries, integrations

__all__ = ["deliveries", "integrations"]
