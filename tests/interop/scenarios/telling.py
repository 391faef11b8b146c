"""What every scenario needs: numbers, ids, the dial log, and how to tell what came of it."""

import itertools
import json
import os
import sys
import traceback
import urllib.request

RUN = os.environ["INTEROP_RUN"]
_numbers = itertools.count()


class Wrong(Exception):
    """Something other than expected was seen."""


def expect(condition, what: str) -> None:
    """Ends the scenario unless it is so."""
    if not condition:
        raise Wrong(what)


def same(what: str, seen, wanted) -> None:
    """Ends the scenario unless both are the same."""
    if seen != wanted:
        raise Wrong(f"{what}: {seen!r} and not {wanted!r}")


def number(outcome: str) -> str:
    """A number that nobody else uses, and that ends so."""
    return f"+9199{os.environ['INTEROP_NUMBERS']}{next(_numbers):02}{outcome}"


def request_id(name: str) -> str:
    """An id of this run."""
    return f"{RUN}-{name}"


def dials(to: str) -> int:
    """How often a number was really dialled."""
    address = f"{os.environ['INTEROP_SANDBOX']}/sandbox/dialed?number={to.lstrip('+')}"
    # Whatever proxy this machine has is not for this.
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(address, timeout=10) as answer:
        return len(json.load(answer)["dialed"])


def main(scenarios: dict) -> None:
    """Runs those that are asked for, and tells of each."""
    for name in os.environ["INTEROP_SCENARIOS"].split():
        try:
            if name not in scenarios:
                raise Wrong("this client does not know it")
            scenarios[name]()
            print(f"ok {name}", flush=True)
        except Exception as error:  # the next one is run all the same
            traceback.print_exc(file=sys.stderr)
            why = " ".join(f"{type(error).__name__}: {error}".split()).removeprefix("Wrong: ")
            print(f"FAILED {name}: {why[:500]}", flush=True)
