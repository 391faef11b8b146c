"""The ways from a client to the gateway.

A way has a `name`, `prepare(cache)`, which installs what it needs, and `open(binary, folder)`, a context manager that
starts a gateway and whatever is in front of it, and gives the `Gateway` and the environment that a client needs to
reach it. Each client gets one of its own, so `folder` is new each time; everything that is started says what it says
to files in it.
"""

from contextlib import contextmanager
from pathlib import Path

from envoy.ways import ViaEnvoy, ViaEnvoyTls

from .gateway import Gateway


class Direct:
    """Nothing in between, and no TLS."""

    name = "direct"

    def prepare(self, cache: Path) -> None:
        """Needs nothing."""

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with Gateway(binary, folder) as gateway:
            yield gateway, gateway.environment()


WAYS = {way.name: way for way in [Direct(), ViaEnvoy(), ViaEnvoyTls()]}
