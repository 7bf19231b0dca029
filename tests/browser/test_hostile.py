"""Names and payloads that would break out of a page, turn its text around or push it sideways, on every page and in
the admin, at 320 pixels."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from django.contrib.auth.models import User
from playwright.sync_api import Page

from integrations.models import Attempt, Integration
from loops.authoring import create_loop
from loops.callbacks import receive_at_address
from loops.models import Callback, Loop, Run
from loops.starting import Start, start_run
from mobius.projects.keys import create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role
from tests.cast import work_off
from tests.loops.flow import asking, push, token_of, waiting

OpenAs = Callable[[User, str], Page]
Check = Callable[[Page], None]

SCRIPT = '<script>window.broken=1</script><img src=x onerror="window.broken=1">'
TURNED = "\u202egpj.exe\u202c \u2066x\u2069 \u200b\u200f \x1b[31m \x07\x85"
LONG = "W" * 60
NAME = f"{SCRIPT}'\">{TURNED}🙂{LONG}"[:200].replace("/", "\\")


@pytest.fixture
def hostile(project: Project, integration: Integration, clay: object) -> dict[str, str]:
    """One of everything, named and filled as badly as the doors allow; a megabyte of text among it."""
    integration.pacer.label = (SCRIPT + TURNED)[:100]
    integration.pacer.save()
    integration.attention = (SCRIPT + LONG * 5)[:500]
    integration.save()
    key = create_key(project=project, name=NAME, role=Role.RUN)
    event = {"email": SCRIPT, "huge": "W" * 90_000, TURNED + SCRIPT + LONG: TURNED, "deep": [[[[[[SCRIPT]]]]]]}
    steps = [asking("push", name=NAME), waiting("answer", name=NAME, config={"match": {"ok": "yes"}})]
    named = {
        "name": NAME.strip(),
        "description": NAME * 20,
        "run_name": {"template": NAME},
        "tags": {SCRIPT[:99]: LONG},
    }
    loop = create_loop(project=project, authored={**named, "steps": steps})
    failing = push("push", row={"payload": {}, "callback_url": "${{ event.email }}"})
    create_loop(project=project, authored={"name": "failing", "steps": [failing]})
    runs = []
    for one in (loop, Loop.objects.get(name="failing")):
        start = Start(
            event=event, meta={}, config={}, source={"label": NAME, "id": NAME}, idempotency_key=NAME + one.pk
        )
        runs.append(start_run(loop=one, start=start).run)
        work_off()
    for _ in range(6):
        receive_at_address(token_of(clay), {"text": "W" * 170_000 + str(_), SCRIPT: TURNED, "request_id": NAME[:100]})  # type: ignore[arg-type]
    return {
        "run": runs[0].pk,
        "failed": runs[1].pk,
        "loop": loop.pk,
        "integration": integration.pk,
        "delivery": Attempt.objects.order_by("pk").values_list("pk", flat=True)[0],
        "callback": Callback.objects.order_by("pk").values_list("pk", flat=True)[0],
        "key": key.record.pk,
        "version": str(loop.current_version_id),
    }


CONSOLE = """
    build/loops/ build/loops/{loop}/ build/loops/new/ operate/runs/ operate/runs/{run}/ operate/runs/{failed}/
    operate/runs/{run}/cancel/ operate/runs/{run}/signal/ operate/deliveries/ operate/deliveries/{delivery}/
    operate/callbacks/ operate/callbacks/{callback}/ operate/callbacks/overdue/ govern/integrations/
    govern/integrations/{integration}/ govern/integrations/{integration}/settings/
    govern/integrations/{integration}/disconnect/ govern/integrations/{integration}/queue/ govern/api-keys/
    govern/api-keys/{key}/revoke/ govern/audit/
""".split()
ADMIN = """
    loops/loop/ loops/loop/{loop}/change/ loops/run/ loops/run/{run}/change/ loops/run/{failed}/change/
    loops/callback/ loops/callback/{callback}/change/ integrations/attempt/ integrations/attempt/{delivery}/change/
    integrations/integration/ integrations/integration/{integration}/change/ projects/apikey/ projects/auditevent/
""".split()


def test_no_page_breaks(open_as: OpenAs, alice: User, hostile: dict[str, str], assert_fits: Check) -> None:
    page = open_as(alice, "/projects/platform/")
    root = page.url
    assert_fits(page)
    for path in CONSOLE:
        answer = page.goto(root + path.format(**hostile))

        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("window.broken") is None
        assert page.locator("main img, main script:not([src])").count() == 0, path
        assert len(answer.body()) < 1_000_000, path
        page.evaluate("document.querySelectorAll('main details').forEach((details) => (details.open = true))")
        assert_fits(page)


def test_the_admin_does_not_break(page: Page, open_as: OpenAs, hostile: dict[str, str]) -> None:
    root = User.objects.create_superuser("root")
    page.route("**/favicon.ico", lambda route: route.fulfill(status=204))  # Django's admin names no icon
    open_as(root, "/admin/")
    home = page.url
    for path in ADMIN:
        answer = page.goto(home + path.format(**hostile))

        assert answer is not None
        assert answer.status == 200, path
        assert page.evaluate("window.broken") is None
        assert page.locator("#content img:not([src*='/static/'])").count() == 0, path
        assert len(answer.body()) < 1_000_000, path


def test_the_runs_went_as_far_as_they_could(hostile: dict[str, str]) -> None:
    assert Run.objects.get(pk=hostile["failed"]).error_message.startswith("callback_url: ")
