"""A gateway with simulated vendors behind it, as `gateway.toml` describes it."""

import json
import os
import re
import subprocess
import urllib.request
from pathlib import Path

from . import processes

TEMPLATE = Path(__file__).resolve().parent.parent / "gateway.toml"

# Simulated vendors take any of these.
SECRETS = {
    "INTEROP_PHONON_SECURITY_ID": "c0ffee00" * 8,
    "INTEROP_MOBTEXTING_TOKEN": "any",
    "INTEROP_KNOVVU_TOKEN": "any",
}


class Gateway:
    """`dialplane serve` in front of `dialplane sandbox`. Use it in a `with` statement.

    `listen`, `server` (lines for `[server]`) and `callers` (sections) are put into the configuration;
    `arguments` are further ones of the sandbox. Logs and the ledger are in `folder`.
    """

    def __init__(self, binary: Path, folder: Path, listen="127.0.0.1:0", server="", callers="", arguments=()):
        self.binary, self.folder = binary, folder
        self._fill = {"LISTEN": listen, "SERVER": server, "CALLERS": callers}
        self._arguments = arguments
        self.address = ""  # HOST:PORT, once it is started
        self.sandbox = ""  # http://127.0.0.1:PORT

    def __enter__(self):
        self.folder.mkdir(parents=True, exist_ok=True)
        self._processes = []
        try:
            self.sandbox = self._start_sandbox()
            self.address = self._start_gateway()
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        for process in reversed(self._processes):
            processes.end(process)

    def environment(self) -> dict[str, str]:
        """What a client has to know to talk to it directly."""
        return {"DIALPLANE_ADDRESS": self.address, "INTEROP_SANDBOX": self.sandbox}

    def dialled(self, number: str = "") -> list:
        """The dial log: what was really called."""
        query = f"?number={number.lstrip('+')}" if number else ""
        with urllib.request.urlopen(f"{self.sandbox}/sandbox/dialed{query}", timeout=30) as answer:
            return json.load(answer)["dialed"]

    def _start_sandbox(self) -> str:
        told = self.folder / "sandbox.out"
        with open(told, "wb") as output:
            process = processes.start(
                [self.binary, "sandbox", "--listen", "127.0.0.1:0", "--pace", "instant", *self._arguments],
                self.folder / "sandbox.log", output=output)
        self._processes.append(process)

        def url():
            found = re.search(r"(http://127\.0\.0\.1:\d+)/sandbox/dialed\n", told.read_text())
            return found and found[1]
        return processes.wait_for("the simulated vendors", url, process)

    def _start_gateway(self) -> str:
        config = self.folder / "dialplane.toml"
        text = TEMPLATE.read_text().split("\n", 3)[3]
        for name, value in {**self._fill, "SANDBOX": self.sandbox, "FOLDER": str(self.folder)}.items():
            text = text.replace(f"@{name}@", value)
        config.write_text(text)
        log = self.folder / "gateway.log"
        process = processes.start(
            [self.binary, "serve", "--config", config, "--log-format", "json"],
            log, environment={**os.environ, **SECRETS})
        self._processes.append(process)

        def address():
            for line in log.read_text().splitlines():
                if '"message":"serving"' in line and line.endswith("}"):
                    return json.loads(line)["address"]
        return processes.wait_for(f"the gateway (see {log})", address, process)
