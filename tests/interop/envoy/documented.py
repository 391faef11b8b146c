"""That docs/envoy.md shows nothing that is not run here."""

import re

from .rig import check
from .tools import FOLDER, ROOT


def settings(text: str) -> list[str]:
    """The lines of a piece of YAML, without their place in it."""
    lines = (line.strip().removeprefix("- ") for line in text.splitlines())
    # An anchor is for this file alone.
    return [re.sub(r"(:) &[a-z0-9_]+$", r"\1", line) for line in lines if line and not line.startswith("#")]


def scenario(_tools, _binary, _folder) -> str:
    """`documented`."""
    run = set(settings((FOLDER / "envoy.yaml").read_text()))
    pieces = re.findall(r"```yaml\n(.*?)```", (ROOT / "docs" / "envoy.md").read_text(), re.DOTALL)
    shown = [line for piece in pieces for line in settings(piece)]
    check(len(shown) > 10, "lines that are shown:", len(shown))
    missing = [line for line in shown if line not in run]
    check(not missing, "not run here:", "; ".join(missing))
    return f"{len(shown)} lines"
