"""The ways to the gateway that lead through Envoy (see `runner.ways`)."""

from contextlib import contextmanager
from pathlib import Path

from runner.gateway import Gateway

from . import tools
from .proxy import Envoy
from .tools import CERTIFICATES

# Asks for certificates of clients, and knows Envoy by its own: a token tells who is behind it.
TLS = (f'tls = {{ certificate = "{CERTIFICATES}/server.pem", key = "{CERTIFICATES}/server.key", '
       f'client_ca = "{CERTIFICATES}/clients.pem" }}')
TOKEN = "nobody-else-has-this-token"
CALLER = f'''[callers.behind-envoy]
certificate = "spiffe://example.test/billing"
token = "{TOKEN}"
'''


class ViaEnvoy:
    """HTTP/2 in the clear, on both sides of Envoy."""

    name = "envoy"
    _tools = None

    def prepare(self, cache: Path) -> None:
        """Installs Envoy."""
        ViaEnvoy._tools = ViaEnvoy._tools or tools.prepare(cache)

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with Gateway(binary, folder) as gateway, Envoy(self._tools, folder, gateway=gateway.address) as envoy:
            yield gateway, {**gateway.environment(), "DIALPLANE_ADDRESS": envoy.plain}


class WebViaEnvoy(ViaEnvoy):
    """gRPC-Web over HTTP/1.1 to Envoy, as browsers do."""

    name = "envoy-web"
    only = ("connect",)

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with super().open(binary, folder) as (gateway, environment):
            yield gateway, {**environment, "INTEROP_PROTOCOL": "grpc-web"}


class ViaEnvoyTls(ViaEnvoy):
    """Certificates on both sides of Envoy: the client's ends there, and Envoy has one of its own for the gateway."""

    name = "envoy-mtls"

    @contextmanager
    def open(self, binary: Path, folder: Path):
        with (Gateway(binary, folder, server=TLS, callers=CALLER) as gateway,
              Envoy(self._tools, folder, gateway_tls=gateway.address) as envoy):
            yield gateway, {
                **gateway.environment(), "DIALPLANE_ADDRESS": envoy.mtls,
                "DIALPLANE_CA": str(CERTIFICATES / "ca.pem"),
                # Another one than Envoy's, of the same authority.
                "DIALPLANE_CERTIFICATE": str(CERTIFICATES / "reports.pem"),
                "DIALPLANE_KEY": str(CERTIFICATES / "reports.key"),
                "DIALPLANE_TOKEN": TOKEN,
            }
