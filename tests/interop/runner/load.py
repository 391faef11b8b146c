"""Many callers at once, by ghz: whether all of them are served, and each call is dialled once."""

import json
import os
import re
from pathlib import Path

from . import processes
from .gateway import Gateway

# Where .ci/run installs it, and in the version that it names.
VERSION = re.search(r"(?m)^GHZ=(\S+)$", (Path(__file__).resolve().parents[3] / ".ci" / "run").read_text())[1]
CALLS = 20_000
CONCURRENCY = 50
# One connection for all, which ends in the middle of it again and again: no answer may be lost with it. With several, or
# an age that is longer, a gateway that loses some gets away with it.
CONNECTIONS, SERVER = 1, 'limits = { connection_age = "100ms" }'

# Each of its own id, and to its own number. The template's own quotes are those that JSON doesn't know.
MESSAGE = ('{"request_id":"load-{{.RequestNumber}}",'
           '"calls":[{"to":["+9199{{printf `%06d` .RequestNumber}}00"]}]}')


def install(cache: Path, log: Path) -> Path:
    """The program, built once."""
    program = cache / f"ghz-{VERSION}" / "ghz"
    if not program.exists():
        new = cache / f"ghz-{VERSION}.{os.getpid()}"
        environment = {**os.environ, "GOBIN": str(new), "GOFLAGS": "", "CGO_ENABLED": "0"}
        code = processes.complete(
            ["go", "install", f"github.com/bojand/ghz/cmd/ghz@v{VERSION}"], log, 900, environment)
        if code:
            raise processes.Failed(f"ghz can't be installed: {log}")
        try:
            new.rename(program.parent)
        except OSError:
            pass  # another run was quicker
    return program


def run(binary: Path, cache: Path, folder: Path) -> str:
    """Gives a line of figures; fails unless every call was placed, and once."""
    folder.mkdir()
    log, told = folder / "ghz.log", folder / "ghz.json"
    program = install(cache, log)
    with Gateway(binary, folder, server=SERVER) as gateway:
        code = processes.complete([
            program, "--insecure", "--call", "dialplane.v1.CallService/CreateCalls", "--data", MESSAGE,
            "--total", CALLS, "--concurrency", CONCURRENCY, "--connections", CONNECTIONS, "--timeout", "30s",
            "--format", "json", "--output", told, gateway.address], log, 120)
        if code:
            raise processes.Failed(f"ghz ended with {code}: {log}")
        dialled = [number for call in gateway.dialled() for number in call["numbers"]]
    report = json.loads(told.read_text())
    # It also counts what grpc-go sends again by itself because nothing of it had been sent: a connection that ended.
    if report["statusCodeDistribution"].get("OK") != CALLS:
        raise processes.Failed(f"of {CALLS} calls: {report['errorDistribution']}")
    if len(dialled) != CALLS or len(set(dialled)) != CALLS:
        raise processes.Failed(f"{len(dialled)} dials of {len(set(dialled))} numbers for {CALLS} calls")
    slowest = next(entry["latency"] for entry in report["latencyDistribution"] if entry["percentage"] == 99)
    return (f"{CALLS} calls by {CONCURRENCY} callers: all OK, each dialled once; "
            f"{report['rps']:.0f} a second, p99 {slowest / 1e6:.0f} ms")
