"""Clients: how they are built and run, and what they tell."""

import os
import re
import secrets
from pathlib import Path

from . import processes

CLIENTS = Path(__file__).resolve().parent.parent / "clients"

SCENARIOS = [
    "create", "reused", "partial", "all-failed", "bad-request", "validate", "retry-info", "results", "watch",
    "cancel", "deadline", "health", "reflection",
]

BUILD_TIMEOUT = 900.0  # seconds: the first one downloads
RUN_TIMEOUT = 120.0


def names() -> list[str]:
    """The clients there are."""
    return sorted(path.parent.name for path in CLIENTS.glob("*/run"))


def build(client: str, cache: Path, folder: Path) -> str:
    """Builds a client. Gives what went wrong, or nothing."""
    log = folder / f"{client}-build.log"
    try:
        code = processes.complete([CLIENTS / client / "build", cache], log, BUILD_TIMEOUT, _plain())
    except (processes.Failed, OSError) as error:
        return f"its build: {error}"
    return f"its build ended with {code}: {log}" if code else ""


def run(client: str, cache: Path, folder: Path, scenarios: list[str],
        environment: dict[str, str]) -> tuple[dict[str, str], str]:
    """Runs a client against what `environment` names. Gives each scenario's failure, empty where there was none, and
    what it told.

    The key `exit` is how the client itself ended.
    """
    told, log = folder / "client.out", folder / "client.log"
    given = {
        **_plain(), **environment,
        "INTEROP_RUN": secrets.token_hex(6),
        "INTEROP_NUMBERS": f"{secrets.randbelow(10_000):04}",
        "INTEROP_SCENARIOS": " ".join(scenarios),
    }
    ended = ""
    with open(told, "wb") as output:
        process = processes.start([CLIENTS / client / "run", cache], log, given, output=output)
    try:
        code = process.wait(RUN_TIMEOUT)
        ended = f"ended with {code}" if code else ""
    except processes.subprocess.TimeoutExpired:
        ended = f"took longer than {RUN_TIMEOUT:.0f} s"
    finally:
        processes.end(process, 0)
    text = told.read_text(errors="replace")
    results = {**read(text, scenarios), "exit": ended}
    if ended:
        text = f"{text.rstrip()}\n{log.read_text(errors='replace')[-3000:]}"
    return results, text.rstrip()


def read(text: str, scenarios: list[str]) -> dict[str, str]:
    """What a client told of each scenario."""
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := re.fullmatch(r"(ok|FAILED) ([a-z-]+)(?:: ?(.*))?", line.rstrip()):
            word, name, why = match[1], match[2], match[3] or "it does not say why"
            if word == "FAILED" or name in found:
                found[name] = why if word == "FAILED" else found[name]
            else:
                found[name] = ""
    return {name: found.get(name, "nothing was told of it") for name in scenarios}


def _plain() -> dict[str, str]:
    """This environment without what would lead a client elsewhere."""
    ours = ("DIALPLANE_", "INTEROP_")
    return {name: value for name, value in os.environ.items() if not name.startswith(ours)}
