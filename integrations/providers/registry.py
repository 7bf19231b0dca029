"""Every folder beside this file is a provider; its name is the provider's id."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from importlib import import_module
from types import MappingProxyType

from integrations import providers
from integrations.providers.contract import Action, Provider
from integrations.providers.errors import UnknownProvider


@cache
def all_providers() -> Mapping[str, Provider]:
    """Every provider by its id, in the order of their names. A broken provider breaks the start, loudly."""
    folders = [module.name for module in pkgutil.iter_modules(providers.__path__) if module.ispkg]
    found = {folder: _load(folder) for folder in sorted(folders)}
    return MappingProxyType(found)


def get_provider(provider_id: str) -> Provider:
    """Raises UnknownProvider."""
    try:
        return all_providers()[provider_id]
    except KeyError:
        raise UnknownProvider(f"There is no provider named {provider_id}.") from None


@cache
def all_actions() -> Mapping[str, tuple[Provider, Action]]:
    """Every action by its full name, such as `clay.webhook.submit`."""
    return MappingProxyType(
        {
            provider.action_name(action): (provider, action)
            for provider in all_providers().values()
            for action in provider.actions
        }
    )


def _load(folder: str) -> Provider:
    provider = import_module(f"{providers.__name__}.{folder}.provider").PROVIDER
    if not isinstance(provider, Provider):
        raise TypeError(f"integrations/providers/{folder}/provider.py must hold PROVIDER = Provider(...)")
    return replace(provider, id=folder)
