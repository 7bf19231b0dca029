"""The environment that tests run in. A plugin, because Django reads its settings before any conftest is read."""

from __future__ import annotations

import os
import tempfile

# A developer's own environment must not decide what the tests find; it may only name, with MOBIUS_ENGINE=procrastinate,
# the PostgreSQL that the suite is to run on instead of SQLite.
if os.environ.get("MOBIUS_ENGINE") != "procrastinate":
    os.environ.pop("DATABASE_URL", None)
for name in [
    one for one in os.environ if one.startswith("MOBIUS_") and one not in ("MOBIUS_TEST_REQUIRE", "MOBIUS_ENGINE")
]:
    del os.environ[name]
_directory = tempfile.TemporaryDirectory(prefix="mobius-tests-")
os.environ |= {
    "MOBIUS_DATA_DIR": _directory.name,
    "MOBIUS_PUBLIC_URL": "http://console.test",
    "SECRET_KEY": "a-key-for-tests-only-that-is-long-enough-to-be-accepted-everywhere",
    "FIELD_ENCRYPTION_KEY": "MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=",
    # Playwright keeps an event loop on the test's thread, which Django would take for async code.
    "DJANGO_ALLOW_ASYNC_UNSAFE": "true",
}
for name in ("DEBUG", "HTTPS", "ALLOWED_HOSTS"):
    os.environ.pop(name, None)
