"""Envoy, started with `envoy.yaml` in front of a gateway."""

import json
import socket
import string
import urllib.request
from pathlib import Path

from runner import processes

from .tools import CERTIFICATES, FOLDER, Tools


def free_port() -> int:
    """A port of this machine that nobody uses now."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def place(address: str) -> str:
    """HOST:PORT or unix:PATH as Envoy writes it. Where nobody goes is a port on which nobody listens."""
    if address.startswith("unix:"):
        return json.dumps({"pipe": {"path": address.removeprefix("unix:")}})
    port = int(address.rpartition(":")[2] or free_port())
    return json.dumps({"socket_address": {"address": "127.0.0.1", "port_value": port}})


class Envoy:
    """Use it in a `with` statement. `gateway` and `gateway_tls` are addresses of gateways (HOST:PORT or unix:PATH): in
    the clear, and with TLS that asks for certificates; either may be left out if nobody goes that way.

    `plain`, `mtls` and `chained` are where clients connect to.
    """

    def __init__(self, tools: Tools, folder: Path, gateway: str = "", gateway_tls: str = ""):
        self.tools, self.folder = tools, folder
        self._upstream = (gateway, gateway_tls)
        self._process = None

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        # A port may be taken by somebody else between being found and being used.
        for last in (False, False, True):
            try:
                self._start()
                return self
            except processes.Failed:
                self.__exit__()
                if last:
                    raise

    def __exit__(self, *_):
        if self._process is not None:
            processes.end(self._process, 5.0)
            self._process = None

    def _start(self) -> None:
        plain, mtls, chained, admin = (free_port() for _ in range(4))
        self.plain, self.mtls, self.chained, self._admin = (
            f"127.0.0.1:{port}" for port in (plain, mtls, chained, admin))
        config = self.folder / "envoy.yaml"
        config.write_text(string.Template((FOLDER / "envoy.yaml").read_text()).substitute(
            ADMIN_PORT=admin, PLAIN_PORT=plain, MTLS_PORT=mtls, CHAINED_PORT=chained,
            GATEWAY=place(self._upstream[0]), GATEWAY_TLS=place(self._upstream[1]), CERTIFICATES=CERTIFICATES,
            DESCRIPTORS=self.tools.descriptors, ACCESS_LOG=self.folder / "access.log"))
        log = self.folder / "envoy.log"
        self._process = processes.start(
            [self.tools.program, "--config-path", config, "--concurrency", "1", "--disable-hot-restart",
             "--log-level", "warning", "--drain-time-s", "0"], log)
        processes.wait_for(f"Envoy (see {log})", self.is_ready, self._process)

    def is_ready(self) -> bool:
        """Whether it listens, and finds the gateways that were named healthy."""
        try:
            if self.admin("/ready").strip() != "LIVE":
                return False
        except OSError:
            return False
        named = [name for name, address in zip(("plain", "mtls"), self._upstream) if address]
        return all(self.is_healthy(name) for name in named)

    def admin(self, path: str) -> str:
        """What it says of itself at that path."""
        with urllib.request.urlopen(f"http://{self._admin}{path}", timeout=10) as answer:
            return answer.read().decode()

    def is_healthy(self, cluster: str = "plain") -> bool:
        """What its own health check has found of a gateway."""
        for status in json.loads(self.admin("/clusters?format=json"))["cluster_statuses"]:
            if status["name"] == cluster:
                health = status["host_statuses"][0]["health_status"]
                return health.get("eds_health_status") == "HEALTHY" and not health.get("failed_active_health_check")
        return False

    def count(self, name: str, cluster: str = "plain") -> int:
        """A counter of a cluster, such as `upstream_rq_retry`."""
        whole = f"cluster.{cluster}.{name}"
        stats = json.loads(self.admin(f"/stats?format=json&filter=^{whole.replace('.', '[.]')}$"))["stats"]
        return next((stat["value"] for stat in stats if stat.get("name") == whole), 0)
