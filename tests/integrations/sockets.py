"""A loopback server that behaves as badly as it is told to, and certificates for it made on the spot."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

OK = b"HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 2\r\n\r\nOK"


class Server:
    """Listens on 127.0.0.1 while entered; every connection is handed to `behave` on a thread of its own."""

    def __init__(self, behave: Callable[[Server, socket.socket], None], *, tls: ssl.SSLContext | None = None) -> None:
        self._behave = behave
        self._tls = tls
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._listener.settimeout(0.02)
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self.stopped = threading.Event()
        self.port: int = self._listener.getsockname()[1]
        self.connections = 0
        self.requests: list[bytes] = []  # whole requests, as they came over the wire

    @property
    def allow(self) -> str:
        return f"127.0.0.1/32:{self.port}"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/table-path?key=abc"

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self.stopped.set()
        for thread in self._threads:
            thread.join(5)
        self._listener.close()

    def _accept(self) -> None:
        while not self.stopped.is_set():
            with suppress(TimeoutError):
                connection, _ = self._listener.accept()
                connection.settimeout(5)
                self.connections += 1
                self._threads.append(threading.Thread(target=self._serve, args=(connection,), daemon=True))
                self._threads[-1].start()

    def _serve(self, connection: socket.socket) -> None:
        with suppress(OSError), connection:
            if self._tls is None:
                self._behave(self, connection)
            else:
                with self._tls.wrap_socket(connection, server_side=True) as wrapped:
                    self._behave(self, wrapped)

    def read_request(self, connection: socket.socket) -> bytes:
        received = b""
        while not _is_whole(received):
            piece = connection.recv(65536)
            if not piece:
                break
            received += piece
        self.requests.append(received)
        return received

    def drip(self, connection: socket.socket, piece: bytes, *, seconds: float = 0.02) -> None:
        """Send `piece` again and again until the far side or the test has had enough."""
        while not self.stopped.wait(seconds):
            connection.sendall(piece)


class Deaf:
    """A port whose queue is full while entered: further connections to it are not answered."""

    def __enter__(self) -> Self:
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=0)
        self.port: int = self._listener.getsockname()[1]
        self._waiting = []
        for _ in range(8):  # more than the queue holds
            waiting = socket.socket()
            waiting.setblocking(False)
            with suppress(BlockingIOError):
                waiting.connect(("127.0.0.1", self.port))
            self._waiting.append(waiting)
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        for opened in (*self._waiting, self._listener):
            opened.close()


def answers(answer: bytes) -> Callable[[Server, socket.socket], None]:
    """Reads the request, sends `answer` and hangs up."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(answer)

    return behave


def drips(beginning: bytes, piece: bytes) -> Callable[[Server, socket.socket], None]:
    """Reads the request, sends `beginning`, then `piece` for ever, slowly."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(beginning)
        server.drip(connection, piece)

    return behave


def resets(beginning: bytes) -> Callable[[Server, socket.socket], None]:
    """Reads the request, sends `beginning`, then breaks the connection."""

    def behave(server: Server, connection: socket.socket) -> None:
        server.read_request(connection)
        connection.sendall(beginning)
        if beginning:
            server.stopped.wait(0.05)  # a reset overtakes what was not yet read
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    return behave


def _is_whole(received: bytes) -> bool:
    head, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    length = next(line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:"))
    return len(body) >= int(length.split(b":")[1])


class Authority:
    """A certificate authority of the test's own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Test authority")])
        self._certificate = self._sign(name, name, self._key, x509.BasicConstraints(ca=True, path_length=None), days=1)

    def trusted_by(self, context: ssl.SSLContext) -> None:
        context.load_verify_locations(cadata=self._certificate.public_bytes(serialization.Encoding.PEM).decode())

    def server_context(self, name: str, *, days: int = 1) -> ssl.SSLContext:
        """What a server called `name` presents; `days` below 0: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        alternative = x509.SubjectAlternativeName([_general_name(name)])
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        certificate = self._sign(subject, self._certificate.subject, key, alternative, days=days)
        file = self._folder / f"{name}{days}.pem"
        file.write_bytes(
            certificate.public_bytes(serialization.Encoding.PEM)
            + key.private_bytes(
                serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
            )
        )
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(file)
        return context

    def _sign(
        self,
        subject: x509.Name,
        issuer: x509.Name,
        key: ec.EllipticCurvePrivateKey,
        extension: x509.ExtensionType,
        *,
        days: int,
    ) -> x509.Certificate:
        now = datetime.datetime.now(datetime.UTC)
        builder = x509.CertificateBuilder(
            issuer_name=issuer,
            subject_name=subject,
            public_key=key.public_key(),
            serial_number=x509.random_serial_number(),
            not_valid_before=now - datetime.timedelta(days=30),
            not_valid_after=now + datetime.timedelta(days=days),
        )
        return builder.add_extension(extension, critical=False).sign(self._key, hashes.SHA256())


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)
