"""How drf-spectacular describes a view of ours: by what its app says about it, its role, and what it can refuse."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from drf_spectacular.extensions import OpenApiSerializerExtension, OpenApiSerializerFieldExtension
from drf_spectacular.openapi import AutoSchema
from drf_spectacular.plumbing import ComponentRegistry, ResolvedComponent, force_instance
from drf_spectacular.utils import Direction
from rest_framework.serializers import BaseSerializer

from loops.api.callbacks import NeverLost
from mobius.api.operations import Answer, Body, Operation
from mobius.api.shapes import TAGS, Named, Schema, Shape, example_of
from mobius.openapi.operations import OPERATIONS, PATH, TAG_OF
from mobius.openapi.refusals import ALWAYS, Refusal, refusals_of
from mobius.projects.roles import Permission, Role

BEARER = "apiKey"
_JSON = "application/json"


class DescribedSchema(AutoSchema):
    """DRF's DEFAULT_SCHEMA_CLASS."""

    def get_operation(
        self, path: str, path_regex: str, path_prefix: str, method: str, registry: ComponentRegistry
    ) -> Schema:
        self.registry, self.path, self.method = registry, path, method
        place = type(self.view), getattr(self.view, "action", None) or method.lower()
        said = OPERATIONS[place]
        described: Schema = {
            "operationId": said.id,
            "summary": said.summary,
            "description": " ".join(filter(None, (said.description, self._who(said)))),
            "tags": [TAG_OF[place]],
            "parameters": self._parameters(said),
            "security": [] if said.public else [{BEARER: []}],
            "responses": self._responses(said),
        }
        if said.body:
            described["requestBody"] = self._body(said.body)
        return {name: value for name, value in described.items() if value or name == "security"}

    def _who(self, said: Operation) -> str:
        if said.public:
            return "Needs no key."
        view: Any = self.view
        needed: Permission = view.needs[view.action]
        return f"For keys of role {_either([role.value for role in Role if role.allows(needed)])}."

    def _parameters(self, said: Operation) -> list[Schema]:
        names = re.findall(r"{(\w+)}", self.path)
        path = [
            _parameter("path", name, {"type": "string"} | said.path.get(name, {}) | {"description": PATH[name]})
            for name in names
        ]
        query = [_parameter("query", name, schema) for name, schema in said.query.items()]
        return path + query + [_parameter("header", name, schema) for name, schema in said.headers.items()]

    def _body(self, body: Body) -> Schema:
        content = {"schema": self._shape(body.shape), "examples": {"example": {"value": body.example}}}
        return {"content": {_JSON: content}, "required": body.required}

    def _responses(self, said: Operation) -> Schema:
        found = {str(status): self._success(answer) for status, answer in said.answers.items()}
        never_lost = issubclass(type(self.view), NeverLost)
        for refusal in refusals_of(said, has_body=said.body is not None, never_lost=never_lost):
            found[str(refusal.status)] = self._component(ResolvedComponent.RESPONSE, refusal, refusal.response)
        return found

    def _success(self, answer: Answer) -> Schema:
        shapes = {} if answer.shape is None else {answer.media_type: answer.shape, **answer.also}
        described: Schema = {"description": answer.says or "So it is.", "headers": ALWAYS}
        if shapes:
            described["content"] = {
                media_type: {"schema": self._shape(shape), "examples": {"example": {"value": example_of(shape)}}}
                for media_type, shape in shapes.items()
            }
        return described

    def _shape(self, shape: Shape | type[BaseSerializer[Any]]) -> Schema:
        described: Schema = (
            self.resolve_serializer(force_instance(shape), "request").ref
            if isinstance(shape, type)
            else self._resolved(shape)
        )
        return described

    def _resolved(self, shape: Any) -> Any:
        """The same, with a reference in each place of a shape that has a name."""
        if isinstance(shape, Named):
            return self._component(ResolvedComponent.SCHEMA, shape, shape.schema)
        if isinstance(shape, Mapping):
            return {name: self._resolved(value) for name, value in shape.items()}
        return [self._resolved(value) for value in shape] if isinstance(shape, list) else shape

    def _component(self, kind: str, named: Named | Refusal, whole: Schema) -> Schema:
        component = ResolvedComponent(named.name, kind, object=named)
        if component not in self.registry:
            self.registry.register(component)
            component.schema = self._resolved(whole)
        reference: Schema = component.ref
        return reference


class ClosedSerializer(OpenApiSerializerExtension):
    """Our request serializers refuse what they do not know."""

    target_class = "mobius.api.serializing.RequestSerializer"
    match_subclasses = True

    def get_name(self, auto_schema: AutoSchema, direction: Direction) -> str:
        return f"{self.target.__class__.__name__.removesuffix('Serializer')}Request"

    def map_serializer(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        schema: Schema = auto_schema._map_serializer(self.target, direction, bypass_extensions=True)
        return {name: value for name, value in schema.items() if name != "description"} | {
            "additionalProperties": False
        }


class DescribedTags(OpenApiSerializerFieldExtension):
    """Tags are taken as they are shown."""

    target_class = "mobius.api.serializing.TagsField"

    def map_serializer_field(self, auto_schema: AutoSchema, direction: Direction) -> Schema:
        return TAGS


def _parameter(place: str, name: str, schema: Schema) -> Schema:
    said = {word: schema[word] for word in ("description",) if word in schema}
    plain = {word: value for word, value in schema.items() if word not in said}
    return {"name": name, "in": place, "required": place == "path", "schema": plain, **said}


def _either(words: list[str]) -> str:
    return words[0] if len(words) == 1 else f"{', '.join(words[:-1])} or {words[-1]}"
