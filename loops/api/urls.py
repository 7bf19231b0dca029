"""`/v1` of this app."""

from django.urls import path

from loops.api.callbacks import CallbackAtAddress, ClayCallbackViewSet, OverdueViewSet
from loops.api.events import RunEventViewSet
from loops.api.invocations import InvocationViewSet
from loops.api.operating import OperatingViewSet, SettlingViewSet
from loops.api.pushes import PushViewSet
from loops.api.queue import QueueViewSet
from loops.api.triggers import HttpTrigger, TriggerViewSet
from loops.api.views import LoopViewSet, RunViewSet

PROJECT = "projects/<str:project>"

urlpatterns = [
    path(f"{PROJECT}/loops/<str:loop>/runs", LoopViewSet.as_view({"post": "start"})),
    path("callbacks/<str:token>", CallbackAtAddress.as_view()),
    path("triggers/http/<str:handle>", HttpTrigger.as_view()),
    path(f"{PROJECT}/loops", LoopViewSet.as_view({"get": "list", "post": "create"})),
    path(
        f"{PROJECT}/loops/<str:loop>",
        LoopViewSet.as_view({"get": "retrieve", "patch": "partial_update", "delete": "destroy"}),
    ),
    path(
        f"{PROJECT}/loops/<str:loop>/triggers/<str:trigger>/secret",
        TriggerViewSet.as_view({"post": "demand_signature", "delete": "take_unsigned"}),
    ),
    path(f"{PROJECT}/runs", RunViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/runs/<str:run>", RunViewSet.as_view({"get": "retrieve"})),
    path(f"{PROJECT}/runs/<str:run>/steps", RunViewSet.as_view({"get": "steps"})),
    path(f"{PROJECT}/runs/<str:run>/events", RunEventViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/runs/<str:run>/events.stream", RunEventViewSet.as_view({"get": "stream"})),
    path(f"{PROJECT}/runs/<str:run>/cancel", OperatingViewSet.as_view({"post": "cancel"})),
    path(f"{PROJECT}/runs/<str:run>/retry", OperatingViewSet.as_view({"post": "retry"})),
    path(f"{PROJECT}/runs/<str:run>/resume", OperatingViewSet.as_view({"post": "resume"})),
    path(f"{PROJECT}/runs/<str:run>/signals", OperatingViewSet.as_view({"post": "signal"})),
    path(f"{PROJECT}/action-invocations", InvocationViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/action-invocations/<str:invocation>", InvocationViewSet.as_view({"get": "retrieve"})),
    path(f"{PROJECT}/deliveries/<str:delivery>/settle", SettlingViewSet.as_view({"post": "settle"})),
    path(f"{PROJECT}/callbacks/clay", ClayCallbackViewSet.as_view({"post": "create"})),
    path(f"{PROJECT}/callbacks/overdue", OverdueViewSet.as_view({"get": "list"})),
    path(f"{PROJECT}/pushes", PushViewSet.as_view({"get": "list", "post": "create"})),
    path(f"{PROJECT}/pushes/<str:push>", PushViewSet.as_view({"get": "retrieve"})),
    path(f"{PROJECT}/pushes/<str:push>/check", PushViewSet.as_view({"post": "check"})),
    path(f"{PROJECT}/pushes/<str:push>/start", PushViewSet.as_view({"post": "start"})),
    path(f"{PROJECT}/pushes/<str:push>/pause", PushViewSet.as_view({"post": "pause"})),
    path(f"{PROJECT}/pushes/<str:push>/resume", PushViewSet.as_view({"post": "resume"})),
    path(f"{PROJECT}/pushes/<str:push>/cancel", PushViewSet.as_view({"post": "cancel"})),
    path(f"{PROJECT}/pushes/<str:push>/failed", PushViewSet.as_view({"get": "failed"})),
    path(f"{PROJECT}/integrations/<str:integration>/queue", QueueViewSet.as_view({"get": "retrieve"})),
    path(f"{PROJECT}/integrations/<str:integration>/queue/discard", QueueViewSet.as_view({"post": "discard"})),
]
