"""The scenarios that only Envoy can show, in a process of their own: they need packages that the runner does not."""

from pathlib import Path

from runner import clients, processes

# In this order, each with the module and function that it is.
SCENARIOS = {
    "documented": "documented:scenario",
    "never-twice": "never_twice:scenario",
    "health": "life:health",
    "goaway": "life:goaway",
    "deadline": "life:deadline",
    "stream": "life:stream",
    "cancelled": "crowd:cancelled",
    "crowd": "crowd:watchers",
    "headers": "crowd:headers",
    "socket": "crowd:on_socket",
    "grpc-web": "web:grpc_web",
    "json": "web:as_json",
    "large": "web:large",
}

PATIENCE = 600.0  # seconds: the first run downloads


def run(binary: Path, cache: Path, folder: Path) -> dict[str, str]:
    """Runs them all. Gives each one's failure, empty where there was none; `exit` is how the program ended."""
    folder.mkdir(parents=True, exist_ok=True)
    told, ended = folder / "scenarios.out", ""
    print("\n== Envoy alone", flush=True)
    with open(told, "wb") as output:
        process = processes.start(
            [Path(__file__).resolve().parent / "run", "--binary", binary, "--cache", cache, "--folder", folder],
            folder / "scenarios.log", output=output)
    try:
        code = process.wait(PATIENCE)
        ended = f"ended with {code}" if code else ""
    except processes.subprocess.TimeoutExpired:
        ended = f"took longer than {PATIENCE:.0f} s"
    finally:
        processes.end(process)
    text = told.read_text(errors="replace")
    print(text, end="", flush=True)
    return {**clients.read(text, list(SCENARIOS)), "exit": ended}
