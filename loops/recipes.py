"""What a provider's rows must send to start a loop's runs, and to answer the rows that the loop sent: its recipes.

The loop says which fields it reads; the provider's `RecipeBook` says how its own form is filled in with them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from django.conf import settings

from integrations.providers.contract import Provider
from integrations.providers.recipes import Call, Column, Recipe, RecipeBook
from integrations.providers.registry import all_actions, all_providers
from loops.expressions import uses_callback_url
from loops.models import Loop
from loops.spec import ActionConfig, LoopSpec, StepSpec, WaitConfig
from loops.spec.reads import ReadField, callback_fields, event_fields
from loops.waiting import source_of

JsonObject = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class StartRecipe:
    """How each row of a provider starts a run."""

    provider: Provider
    recipe: Recipe
    fields: list[ReadField]
    row_field: str  # the member of the event that tells which row it came from
    key_prefix: str  # what an idempotency key begins with; the row's own id follows


@dataclass(frozen=True, kw_only=True)
class CallbackRecipe:
    """How a row's result comes back to the step that waits for it."""

    provider: Provider
    waiting: StepSpec
    source_key: str  # the step that sent the row
    address_column: str  # the column that holds the row's own address; "": it has none
    at_address: Recipe | None  # None: the row does not take its address along
    by_request_id: Recipe | None  # None: nothing tells which row is meant
    fields: list[ReadField]

    @property
    def main(self) -> Recipe | None:
        return self.at_address or self.by_request_id

    @property
    def other(self) -> Recipe | None:
        return self.by_request_id if self.at_address else None


def callers() -> list[Provider]:
    """The providers whose rows can call us."""
    return [provider for provider in all_providers().values() if provider.recipes]


def start_recipe(loop: Loop, spec: LoopSpec, provider: Provider) -> StartRecipe:
    """`provider` is one of `callers()`."""
    book = _book(provider)
    fields = event_fields(spec)
    row, prefix = Column(name=book.row_column), f"{provider.id}:{loop.pk}:"
    call = Call(
        url=f"{_project_address(loop)}/loops/{loop.pk}/runs",
        body={
            "event": _members(book, fields) | {book.row_field: row},
            "source": {"type": "api", "id": provider.id, "label": provider.name},
            # A key belongs to the project, and two loops may be started by the same row: hence the loop's id.
            "idempotency_key": Column(name=book.row_column, prefix=prefix),
        },
        needs_key=True,
        per_second=_per_second(),
    )
    return StartRecipe(
        provider=provider, recipe=book.write(call), fields=fields, row_field=book.row_field, key_prefix=prefix
    )


def callback_recipes(loop: Loop, spec: LoopSpec) -> list[CallbackRecipe]:
    """One for each step that waits for what a provider's row brings back."""
    found = []
    for step in spec.steps:
        if not isinstance(step.config, WaitConfig) or not (key := source_of(spec.steps, step, step.config)):
            continue
        source = next(one for one in spec.steps if one.key == key)
        if isinstance(source.config, ActionConfig):
            provider, _ = all_actions()[source.config.action_name]
            if provider.recipes:
                found.append(_callback_recipe(loop, spec, step, source.key, provider, _row_of(source.config)))
    return found


def answer_recipe(provider: Provider) -> Recipe:
    """How the row of a test there and back is answered. `provider` is one of `callers()`."""
    body = {"request_id": Column(name="request_id")}
    return _book(provider).write(Call(url=Column(name="callback_url"), body=body, needs_key=False, per_second=None))


def _callback_recipe(
    loop: Loop, spec: LoopSpec, waiting: StepSpec, source_key: str, provider: Provider, row: Mapping[str, Any]
) -> CallbackRecipe:
    book = _book(provider)
    fields = callback_fields(spec, waiting)
    body: JsonObject = {"request_id": Column(name="request_id")} if "request_id" in row else {}
    body |= _members(book, [field for field in fields if field.path != ("request_id",)])
    address = next((name for name, value in row.items() if isinstance(value, str) and uses_callback_url(value)), "")
    at_address = Call(url=Column(name=address), body=body, needs_key=spec.callback_requires_key, per_second=None)
    by_request_id = Call(
        url=f"{_project_address(loop)}/callbacks/clay", body=body, needs_key=True, per_second=_per_second()
    )
    return CallbackRecipe(
        provider=provider,
        waiting=waiting,
        source_key=source_key,
        address_column=address,
        at_address=book.write(at_address) if address else None,
        by_request_id=book.write(by_request_id) if "request_id" in row else None,
        fields=fields,
    )


def _row_of(config: ActionConfig) -> JsonObject:
    """The unrendered row: what is beside the payload becomes a column too, unless the payload has one of that name."""
    payload = config.parameters.get("payload")
    beside = {name: value for name, value in config.parameters.items() if name not in ("payload", "integration")}
    return beside | payload if isinstance(payload, dict) else beside


def _members(book: RecipeBook, fields: Iterable[ReadField]) -> JsonObject:
    """The fields as the JSON object that holds them, each with the column that probably has its value."""
    found: JsonObject = {}
    for field in fields:
        inner = found
        for name in field.path[:-1]:
            inner = inner.setdefault(name, {})
        inner[field.path[-1]] = Column(name=book.column_named(" ".join(field.path)), quoted=field.is_text)
    return found


def _book(provider: Provider) -> RecipeBook:
    assert provider.recipes is not None
    return provider.recipes


def _project_address(loop: Loop) -> str:
    return f"{settings.MOBIUS_PUBLIC_URL}/v1/projects/{loop.project.handle}"


def _per_second() -> int | None:
    per_minute: int = settings.MOBIUS_KEY_REQUESTS_PER_MINUTE
    return per_minute // 60 if per_minute else None
