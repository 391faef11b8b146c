"""The ways from a client to the gateway.

A way has a `name`; `prepare(cache)`, which installs what it needs, and is quick when that is there; and
`open(binary, folder)`, a context manager that starts a gateway and whatever is in front of it, and gives the `Gateway`
and the environment that a client needs to reach it. Each client gets one of its own, so `folder` is new each time;
everything that is started says what it says to files in it. With `only` it is a way for these clients alone, and with
`scenarios` one for these scenarios. Several are open at the same time.
"""

from contextlib import contextmanager
from pathlib import Path

from envoy.ways import ViaEnvoy, ViaEnvoyTls, WebViaEnvoy

from .gateway import Gateway
from .lossy import Lossy


class Direct:
    """Nothing in between, and no TLS."""

    name = "direct"

    def prepare(self, cache: Path) -> None:
        """Needs nothing."""

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with Gateway(binary, folder) as gateway:
            yield gateway, gateway.environment()


class Tls:
    """Nothing in between. Both sides show certificates, and the client a token as well."""

    name = "tls"

    def prepare(self, cache: Path) -> None:
        """Needs nothing."""

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with Gateway(binary, folder, server=SERVER, callers=CALLER) as gateway:
            yield gateway, {
                **gateway.environment(),
                "DIALPLANE_CA": str(CERTIFICATES / "ca.pem"),
                "DIALPLANE_CERTIFICATE": str(CERTIFICATES / "billing.pem"),
                "DIALPLANE_KEY": str(CERTIFICATES / "billing.key"),
                "DIALPLANE_TOKEN": TOKEN,
            }


CERTIFICATES = Path(__file__).resolve().parents[2] / "certificates"

SERVER = (f'tls = {{ certificate = "{CERTIFICATES}/server.pem", key = "{CERTIFICATES}/server.key", '
          f'client_ca = "{CERTIFICATES}/clients.pem" }}')

TOKEN = "nobody-else-has-this-token"

CALLER = f"""[callers.billing]
token = "{TOKEN}"
certificate = "spiffe://example.test/billing"
"""

WAYS = {way.name: way for way in [Direct(), Tls(), Lossy(), ViaEnvoy(), ViaEnvoyTls(), WebViaEnvoy()]}
