"""A mail server on a loopback port, and what it took."""

from __future__ import annotations

import email
import email.policy
import socketserver
import threading
from email.message import EmailMessage
from types import TracebackType
from typing import Any, Self

from mobius import clock
from mobius.alerting import mailing
from mobius.alerting.models import Mail


class MailServer(socketserver.ThreadingTCPServer):
    """Takes every mail, unless it is told to answer `RCPT` otherwise. Speaks as much SMTP as a client needs."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Session)
        self.taken: list[EmailMessage] = []
        self.answers_to_rcpt: list[str] = []  # the next ones; then 250
        self.hangs_up = False  # as soon as somebody connects
        self._thread = threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)

    @property
    def port(self) -> int:
        return int(self.server_address[1])

    @property
    def subjects(self) -> list[str]:
        return [mail["Subject"] for mail in self.taken]

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.shutdown()
        self._thread.join()
        self.server_close()

    def serves(self, settings: Any) -> None:
        """From now on the console mails through this server."""
        settings.EMAIL_BACKEND = "django.core.mail.backends.smtp.EmailBackend"
        settings.EMAIL_HOST, settings.EMAIL_PORT = "127.0.0.1", self.port
        settings.EMAIL_USE_TLS = settings.EMAIL_USE_SSL = False
        settings.MOBIUS_SENDS_MAIL = True


class _Session(socketserver.StreamRequestHandler):
    server: MailServer

    def handle(self) -> None:
        if self.server.hangs_up:
            return
        self._say("220 mailbox")
        while line := self.rfile.readline().decode().strip():
            command = line.split(":")[0].split()[0].upper()
            if command == "QUIT":
                self._say("221 bye")
                return
            if command == "DATA":
                self._take()
            elif command == "RCPT" and self.server.answers_to_rcpt:
                self._say(self.server.answers_to_rcpt.pop(0))
            else:
                self._say("250 fine")

    def _take(self) -> None:
        self._say("354 go on")
        lines = []
        while (line := self.rfile.readline()) != b".\r\n":
            lines.append(line.removeprefix(b"."))
        taken = email.message_from_bytes(b"".join(lines), policy=email.policy.default)
        assert isinstance(taken, EmailMessage)
        self.server.taken.append(taken)
        self._say("250 taken")

    def _say(self, text: str) -> None:
        self.wfile.write(f"{text}\r\n".encode())


def send_due() -> None:
    """Do what the process's thread does, on this one: send everything whose time has come."""
    for due in Mail.objects.due(clock.now()):
        if mailing.claim(due, now=clock.now()):
            mailing.carry(due.pk)
