"""Who managed what, as a table for a terminal."""


def table(way: str, results: dict[str, dict[str, str]], scenarios: list[str]) -> str:
    """Clients are columns, scenarios are rows."""
    rows = [*scenarios, "exit"]
    first = max(len(name) for name in [way, *rows])
    lines = ["  ".join([way.ljust(first), *results])]
    for row in rows:
        cells = [("FAILED" if told.get(row, "?") else "ok").ljust(max(len(client), 6))
                 for client, told in results.items()]
        lines.append("  ".join([row.ljust(first), *cells]).rstrip())
    lines[0] = "  ".join([way.ljust(first), *(client.ljust(6) for client in results)]).rstrip()
    return "\n".join(lines)


def failures(way: str, results: dict[str, dict[str, str]]) -> list[str]:
    """Each cell that is not ok, with the reason."""
    return [f"{way}, {client}, {row}: {why}"
            for client, told in results.items() for row, why in told.items() if why]
