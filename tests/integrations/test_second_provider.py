"""Provider number two is one new folder and nothing else: Clay's folder, copied under another name, just works."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
SOURCES = ("manage.py", "mobius", "integrations", "loops", "templates")

PROOF = """
import json, os
os.environ["DJANGO_SETTINGS_MODULE"] = "mobius.settings"
import django
django.setup()
from django.conf import settings
from django.core.management import call_command
from rest_framework.test import APIClient
from integrations.models import Attempt
from integrations.providers.clay.simulator import ClaySimulator
from integrations.providers.registry import all_actions, all_providers
from loops.advance import advance
from loops.models import Run
from mobius.projects.keys import create_key
from mobius.projects.models import Project
from mobius.projects.roles import Role

call_command("makemigrations", "integrations", "loops", check=True, dry_run=True, verbosity=0)
call_command("migrate", verbosity=0)
project = Project.objects.create(handle="platform", name="Platform")
key = create_key(project=project, name="proof", role=Role.ADMIN)
api = APIClient(headers={"Authorization": f"Bearer {key.text}", "Host": "localhost"})
root = "/v1/projects/platform"


def ok(answer, status):
    assert answer.status_code == status, answer.content
    return answer.json()


with ClaySimulator(unpaced=True) as table:
    settings.MOBIUS_OUTBOUND_ALLOW = [f"127.0.0.1/32:{table.port}"]
    catalog = ok(api.get(f"{root}/integrations/providers"), 200)["providers"]
    body = {"webhook_url": table.url, "auth_header_name": "x-token", "auth_header_value": "t"}
    connected = ok(api.post(f"{root}/integrations/providers/airtable/connect", body, format="json"), 200)
    tested = ok(api.post(f"{root}/integrations/{connected['integration']['id']}/test", {}, format="json"), 200)
    config = {"action_name": "airtable.webhook.submit", "parameters": {"payload": {"email": "${{ event.email }}"}}}
    loop = {"name": "push", "schema_version": "1", "steps": [{"id": "push", "kind": "action", "config": config}]}
    ok(api.post(f"{root}/loops", loop, format="json"), 201)
    run = ok(api.post(f"{root}/loops/push/runs", {"event": {"email": "ada@example.com"}}, format="json"), 202)
    advance(run["id"])
    rows = [row.body for row in table.rows]
listing = ok(api.get("/v1/openapi.json"), 200)["paths"]["/v1/projects/{project}/integrations/providers"]["get"]
example = listing["responses"]["200"]["content"]["application/json"]["examples"]["example"]["value"]

print(json.dumps({
    "catalog": [one["name"] for one in catalog],
    "actions": sorted(all_actions()),
    "integration": connected["integration"]["name"],
    "tested": tested["ok"],
    "run": Run.objects.get().status,
    "attempts": sorted({attempt.action for attempt in Attempt.objects.all()}),
    "last_row": rows[-1],
    "described": [one["name"] for one in example["providers"]],
}))
"""


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    """A copy of the sources in which Clay's folder stands a second time, as `airtable`."""
    ignored = shutil.ignore_patterns("__pycache__", "tests", "static")
    for name in SOURCES:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, ignore=ignored)
        else:
            shutil.copy(source, tmp_path / name)
    providers = tmp_path / "integrations" / "providers"
    shutil.copytree(providers / "clay", providers / "airtable")
    return tmp_path


NOT_INHERITED = ("DJANGO_SETTINGS_MODULE", "PYTHONPATH", "DATABASE_URL", "MOBIUS_ENGINE")


def test_a_copy_of_a_provider_s_folder_is_a_second_working_provider(tree: Path) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in NOT_INHERITED}
    environment |= {"MOBIUS_DATA_DIR": str(tree / "data"), "PYTHONDONTWRITEBYTECODE": "1"}
    (tree / "data").mkdir()

    done = subprocess.run(
        [sys.executable, "-c", PROOF],
        cwd=tree,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )

    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.splitlines()[-1]) == {
        "catalog": ["airtable", "clay"],
        "actions": ["airtable.webhook.submit", "clay.webhook.submit"],
        "integration": "airtable",
        "tested": True,
        "run": "completed",
        "attempts": ["airtable.webhook.submit"],
        "last_row": {"email": "ada@example.com"},
        "described": ["airtable"],
    }
