"""Scenarios of what becomes of calls."""

import time

from google.protobuf import duration_pb2

from dialplane.v1 import call_pb2, call_service_pb2
from reading import calls, final, request, state
from scenarios.telling import expect, number, request_id, same


def results():
    references = [request_id(f"reference-{place}") for place in range(5)]
    asked = call_service_pb2.CreateCallsRequest(
        request_id=request_id("results"),
        calls=[call_pb2.CallSpec(to=[number("00")], client_reference=reference) for reference in references])
    ids = [call.call_id for call in calls.CreateCalls(asked, timeout=10).calls]
    pages, token = [], None
    while token != "":
        answer = get(request_id=asked.request_id, page_size=2, page_token=token)
        pages.append([call.call_id for call in answer.calls])
        token = answer.next_page_token
    same("pages", pages, [ids[0:2], ids[2:4], ids[4:5]])
    missing = request_id("nobody")
    named = get(client_references=[references[3], missing, references[0]])
    same("by reference", [call.call_id for call in named.calls], [ids[3], ids[0]])
    same("not found", list(named.not_found), [missing])
    until = time.monotonic() + 20
    while not all(final(call) for call in get(request_id=asked.request_id, max_staleness=NOW).calls):
        expect(time.monotonic() < until, "they don't end")
    same("states", [state(call) for call in get(request_id=asked.request_id).calls], ["ANSWERED"] * 5)


NOW = duration_pb2.Duration()


def get(**selection):
    return calls.GetCallResults(call_service_pb2.GetCallResultsRequest(**selection), timeout=10)


def watch():
    asked = request(request_id("watch"), [number("00"), number("01"), number("02")])
    placed = calls.CreateCalls(asked, timeout=10)
    selection = call_service_pb2.WatchCallResultsRequest(request_id=asked.request_id)
    stream = calls.WatchCallResults(selection, timeout=30)
    seen = [next(stream), next(stream)]
    stream.cancel()
    selection.cursor = seen[-1].cursor
    seen += calls.WatchCallResults(selection, timeout=30)
    for call, end in zip(placed.calls, ("ANSWERED", "BUSY", "NO_ANSWER"), strict=True):
        mine = [message.call for message in seen if message.call.call_id == call.call_id]
        same("revisions", [change.revision for change in mine], list(range(1, len(mine) + 1)))
        same("the end", state(mine[-1]), end)
        same("over", [final(change) for change in mine], [False] * (len(mine) - 1) + [True])
    same("cursors", len({message.cursor for message in seen}), len(seen))
