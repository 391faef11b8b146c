"""A way on which answers get lost: the connection breaks just as one comes, and then once more."""

import socket
import threading
from contextlib import contextmanager
from pathlib import Path

from .gateway import Gateway

LOST = 2  # answers

FRAME_HEAD = 9  # bytes in HTTP/2: three of length, then the type
DATA = 0


class Lossy:
    """The first answers never arrive, though what was asked for is done. Only for those that repeat what they asked."""

    name = "lossy"
    only = ("connect", "go", "java", "node", "python", "rust")
    scenarios = ("create",)

    def prepare(self, cache: Path) -> None:
        """Needs nothing."""

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with Gateway(binary, folder) as gateway, Cutter(gateway.address) as cutter:
            yield gateway, {**gateway.environment(), "DIALPLANE_ADDRESS": cutter.address, "INTEROP_LOST": str(LOST)}


class Cutter:
    """Passes connections on to an address in the clear, and cuts as many as it is to when the first message of an
    answer comes. Use it in a `with` statement."""

    def __init__(self, upstream: str, lost: int = LOST):
        host, port = upstream.rsplit(":", 1)
        self._upstream, self._left, self._lock = (host, int(port)), lost, threading.Lock()

    def __enter__(self):
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"127.0.0.1:{self._listener.getsockname()[1]}"
        _start(self._accept)
        return self

    def __exit__(self, *_):
        # Waking whoever waits for a connection; those that are open end with the gateway.
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            _start(self._pass_on, client)

    def _pass_on(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._upstream) as gateway:
            _start(_forward, client, gateway)
            try:
                self._answer(gateway, client)
            except OSError:
                pass
            for end in (client, gateway):
                _shut(end)

    def _answer(self, gateway: socket.socket, client: socket.socket) -> None:
        with gateway.makefile("rb") as frames:
            while len(head := frames.read(FRAME_HEAD)) == FRAME_HEAD:
                body = frames.read(int.from_bytes(head[:3], "big"))
                if head[3] == DATA and body and self._is_lost():
                    return
                client.sendall(head + body)

    def _is_lost(self) -> bool:
        with self._lock:
            self._left -= 1
            return self._left >= 0


def _forward(client: socket.socket, gateway: socket.socket) -> None:
    try:
        while read := client.recv(65_536):
            gateway.sendall(read)
    except OSError:
        pass
    _shut(gateway)


def _shut(end: socket.socket) -> None:
    try:
        end.shutdown(socket.SHUT_RDWR)
    except OSError:
        pass  # it is gone


def _start(work, *arguments) -> None:
    threading.Thread(target=work, args=arguments, daemon=True).start()
