"""How gunicorn serves the web processes of the distributed engine: `gunicorn --config mobius/gunicorn.py …`.

A web process has neither workers nor a ticker: `mobius work` has them.
"""

from __future__ import annotations

from typing import Any

bind = "0.0.0.0:8000"
workers = 1  # more of them: more containers, or --workers
worker_class = "mobius.webprocess.WebProcess"
threads = 12
graceful_timeout = 25  # an answer may wait for a row that is on its way
timeout = 60
preload_app = True
forwarded_allow_ips = ""  # what proxies say is judged in one place, mobius/wsgi.py
control_socket_disable = True  # it would lie in the home directory, shared by every gunicorn of the user


def when_ready(server: Any) -> None:
    """Before the first request: a wrong encryption key ends the process with a sentence."""
    from django.db import DatabaseError, connections

    from integrations.secrets import WrongKey, prove_key
    from mobius.working import settle_down

    try:
        prove_key()
    except WrongKey as error:
        server.log.error(error.message)
        raise SystemExit(1) from None
    except DatabaseError:  # not there yet, or not migrated: /readyz says so, and it may still come
        server.log.warning("the database does not answer yet; the encryption key is proved when it is first used")
    finally:
        connections.close_all()  # the workers are forked from this process
    settle_down()


def post_worker_init(worker: Any) -> None:
    """Event streams must not hold a process up that is asked to end."""
    from mobius.api import streaming

    streaming.end_when(lambda: not worker.alive)
