"""Programs that are started, each in a process group of its own, and ended with everything they started."""

import os
import signal
import subprocess
import threading
import time
from pathlib import Path

# Whatever proxy this machine has is not for what runs on it: neither for this program, nor for those it starts.
for _name in ("no_proxy", "NO_PROXY"):
    os.environ[_name] = ",".join(filter(None, [os.environ.get(_name, ""), "127.0.0.1,localhost"]))

_running: dict[int, subprocess.Popen] = {}
_lock = threading.Lock()


class Failed(Exception):
    """What was to be run did not do what it should."""


def start(command, log: Path, environment=None, cwd=None, output=None) -> subprocess.Popen:
    """Starts a program. What it says goes to `log`, its standard output to `output` if that is given."""
    with open(log, "ab") as file:
        with _lock:
            process = subprocess.Popen(
                [str(part) for part in command], stdin=subprocess.DEVNULL, stdout=output or file, stderr=file,
                env=environment, cwd=cwd, start_new_session=True)
            _running[process.pid] = process
    return process


def end(process: subprocess.Popen, patience: float = 10.0) -> int:
    """Asks a program to end, then ends it and whatever it left behind. Gives its exit code."""
    try:
        if process.poll() is None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                pass
    finally:
        _kill_group(process)
    return process.wait()


def end_all() -> None:
    """On every way out: nothing that was started stays."""
    for process in list(_running.values()):
        _kill_group(process)


def _kill_group(process: subprocess.Popen) -> None:
    with _lock:
        _running.pop(process.pid, None)
    try:
        # What it left behind, too.
        os.killpg(process.pid, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        pass
    process.wait()


def complete(command, log: Path, timeout: float, environment=None, cwd=None) -> int:
    """Runs a program to its end, at most so many seconds. Gives its exit code."""
    process = start(command, log, environment, cwd)
    try:
        return process.wait(timeout)
    except subprocess.TimeoutExpired:
        raise Failed(f"took longer than {timeout:.0f} s") from None
    finally:
        _kill_group(process)


def wait_for(what: str, found, process: subprocess.Popen, patience: float = 60.0):
    """Asks `found` again and again until it gives something, as long as the program runs."""
    deadline = time.monotonic() + patience
    while True:
        result = found()
        if result:
            return result
        if process.poll() is not None:
            raise Failed(f"{what}: the program ended by itself with {process.returncode}")
        if time.monotonic() > deadline:
            raise Failed(f"{what}: not within {patience:.0f} s")
        time.sleep(0.01)
