"""The scenarios, for programs that speak JSON at a shell and know the API from reflection.

A program is a `Tool`. It is told method, message, and a deadline in seconds, and is ended after some messages of a
stream. What it has for an error is read into `google.rpc.Status`, as JSON.
"""

import json
import subprocess
import threading
import time
from datetime import datetime, timedelta, timezone

from .telling import Wrong, dials, expect, number, request_id, same

CALLS = "dialplane.v1.CallService"
HEALTH = "grpc.health.v1.Health"

# google.rpc.Code
DEADLINE_EXCEEDED, INVALID_ARGUMENT, NOT_FOUND, ALREADY_EXISTS, RESOURCE_EXHAUSTED = 4, 3, 5, 6, 8


class Failure(Exception):
    """An RPC that failed, with its `google.rpc.Status`."""

    def __init__(self, status: dict):
        super().__init__(f"code {status.get('code')}: {status.get('message', '')}")
        self.status = status


class Tool:
    """What differs from program to program."""

    def command(self, method: str, message: dict, deadline: float | None) -> list[str]:
        """The command that makes an RPC. It prints answers as JSON, one after the other."""
        raise NotImplementedError

    def status(self, code: int, output: str, errors: str) -> dict:
        """The `google.rpc.Status` of a command that failed; raises `Wrong` if the RPC had none."""
        raise NotImplementedError

    def services(self) -> list[str]:
        """The services that reflection lists."""
        raise NotImplementedError

    def methods(self, service: str) -> list[str]:
        """The names of a service's methods, from reflection."""
        raise NotImplementedError

    def answers(self, method: str, message: dict, deadline: float | None = 20, limit: int | None = None) -> list[dict]:
        """All answers of an RPC, or the first ones; then the program is ended."""
        process = subprocess.Popen(self.command(method, message, deadline), stdin=subprocess.DEVNULL,
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        # Whatever the deadline does: nothing is waited for without end.
        alarm = threading.Timer((deadline or 30) + 30, process.kill)
        alarm.start()
        try:
            found = []
            for answer in documents(process.stdout):
                found.append(answer)
                if len(found) == limit:
                    return found
            errors = process.stderr.read()
            if code := process.wait():
                raise Failure(self.status(code, json.dumps(found[-1]) if found else "", errors))
            return found
        finally:
            alarm.cancel()
            process.kill()
            process.communicate()

    def call(self, method: str, message: dict, deadline: float | None = 20) -> dict:
        """The answer of an RPC that has one."""
        answers = self.answers(f"{CALLS}/{method}", message, deadline)
        same("answers", len(answers), 1)
        return answers[0]

    def refused(self, code: int, message: dict, deadline: float | None = 20) -> dict:
        """The status of a CreateCalls that has to fail so."""
        try:
            self.call("CreateCalls", message, deadline)
        except Failure as failure:
            same("the code", failure.status.get("code"), code)
            return failure.status
        raise Wrong(f"OK and not code {code}")


def documents(stream):
    """JSON objects, each as soon as it is there as a whole."""
    decoder, text = json.JSONDecoder(), ""
    for line in stream:
        text = (text + line).lstrip()
        try:
            found, end = decoder.raw_decode(text)
        except ValueError:
            continue
        text = text[end:]
        yield found
    expect(not text.strip(), f"it is no JSON: {text[:200]}")


def request(name: str, numbers, **more) -> dict:
    return {"request_id": request_id(name), "calls": [{"to": [to]} for to in numbers], **more}


def detail(status: dict, kind: str) -> dict:
    """The one detail of this kind."""
    found = [packed for packed in status.get("details", []) if packed["@type"].endswith(f"/{kind}")]
    same(f"details of the kind {kind}", len(found), 1)
    return found[0]


def reason(status: dict, wanted: str, domain: str) -> dict:
    info = detail(status, "google.rpc.ErrorInfo")
    same("reason and domain", (info.get("reason"), info.get("domain")), (wanted, domain))
    return info["metadata"]


def fields(status: dict) -> list[str]:
    return [violation["field"] for violation in detail(status, "google.rpc.BadRequest")["fieldViolations"]]


def states(calls: list[dict]) -> list[str]:
    return [call["state"].removeprefix("CALL_STATE_") for call in calls]


def ids(answer: dict) -> list[str]:
    return [call.get("callId", "") for call in answer["calls"]]


class Scenarios:
    """Each of them is a method, with `_` for `-`."""

    def __init__(self, tool: Tool):
        self.tool = tool

    def all(self) -> dict:
        return {name.replace("_", "-"): getattr(self, name) for name in vars(Scenarios)
                if not name.startswith("_") and name != "all"}

    def create(self):
        to = number("00")
        asked = request("create", [to])
        first = self.tool.call("CreateCalls", asked)
        expect("replayed" not in first, "the first answer is marked as repeated")
        changes = self.tool.answers(f"{CALLS}/WatchCallResults", {"request_id": asked["request_id"]})
        same("the end", states([changes[-1]["call"]]), ["ANSWERED"])
        again = self.tool.call("CreateCalls", asked)
        same("replayed", again.get("replayed"), True)
        same("call ids", ids(again), ids(first))
        same("dials", dials(to), 1)

    def reused(self):
        one, other = number("00"), number("00")
        self.tool.call("CreateCalls", request("reused", [one]))
        reason(self.tool.refused(ALREADY_EXISTS, request("reused", [other])), "REQUEST_ID_REUSED", "dialplane")
        same("dials", (dials(one), dials(other)), (1, 0))

    def partial(self):
        numbers = [number("00"), number("10"), number("01")]
        good, wrong, busy = self.tool.call("CreateCalls", request("partial", numbers, route="mobtexting"))["calls"]
        for call in (good, busy):
            expect(call["callId"] and "error" not in call, f"{call['state']} with an error, or without an id")
        same("the second", (states([wrong]), wrong["error"]["code"]), (["FAILED"], INVALID_ARGUMENT))
        info = detail(wrong["error"], "google.rpc.ErrorInfo")
        same("domain", info["domain"], "mobtexting.com")
        seen = {key: info["metadata"].get(key) for key in ("vendor", "vendor_code", "http_status", "dialed")}
        same("metadata", seen, {"vendor": "mobtexting", "vendor_code": "422", "http_status": "422", "dialed": "no"})

    def all_failed(self):
        asked = request("all-failed", [number("11"), number("11")], route="phonon")
        status = self.tool.refused(RESOURCE_EXHAUSTED, asked)
        metadata = reason(status, "INSUFFICIENT_BALANCE", "phonon.io")
        same("request_id", metadata["request_id"], asked["request_id"])
        packed = detail(status, "dialplane.v1.CreateCallsResponse")
        same("states", states(packed["calls"]), ["FAILED"] * 2)
        expect(all(ids(packed)), "a call without an id")
        for call in packed["calls"]:
            reason(call["error"], "INSUFFICIENT_BALANCE", "phonon.io")

    def bad_request(self):
        same("fields", fields(self.tool.refused(INVALID_ARGUMENT, request("empty", []))), ["calls"])
        good = number("00")
        wrong = self.tool.refused(INVALID_ARGUMENT, request("bad", [good, "12"], all_or_nothing=True))
        same("fields", fields(wrong), ["calls[1].to[0]"])
        same("dials", dials(good), 0)

    def validate(self):
        good = number("00")
        answer = self.tool.call("CreateCalls", request("validate", [good, "12"], validate_only=True))
        same("ids", ids(answer), ["", ""])
        right, wrong = answer["calls"]
        expect("error" not in right, f"the good one has an error: {right.get('error')}")
        same("the wrong one", wrong["error"]["code"], INVALID_ARGUMENT)
        same("dials", dials(good), 0)

    def retry_info(self):
        first, second = number("00"), number("00")
        self.tool.call("CreateCalls", request("paced-1", [first], route="paced"))
        began = time.monotonic()
        status = self.tool.refused(RESOURCE_EXHAUSTED, request("paced-2", [second], route="paced"), deadline=2)
        # A program that has to be started takes a while itself.
        expect(time.monotonic() - began < 1.8, "it was not refused at once")
        reason(status, "PACE_EXHAUSTED", "dialplane")
        expect(detail(status, "google.rpc.QuotaFailure")["violations"], "an empty QuotaFailure")
        wait = float(detail(status, "google.rpc.RetryInfo")["retryDelay"].removesuffix("s"))
        expect(2 < wait <= 60, f"a wait of {wait} s")
        same("dials", (dials(first), dials(second)), (1, 0))

    def results(self):
        references = [request_id(f"reference-{place}") for place in range(5)]
        asked = {"request_id": request_id("results"), "calls": [
            {"to": [number("00")], "client_reference": reference} for reference in references]}
        wanted = ids(self.tool.call("CreateCalls", asked))
        selection, pages = {"request_id": asked["request_id"]}, []
        token = ""
        while token or not pages:
            answer = self.tool.call("GetCallResults", {**selection, "page_size": 2, "page_token": token})
            pages.append(ids(answer))
            token = answer.get("nextPageToken", "")
        same("pages", pages, [wanted[0:2], wanted[2:4], wanted[4:5]])
        missing = request_id("nobody")
        named = self.tool.call("GetCallResults", {"client_references": [references[3], missing, references[0]]})
        same("by reference", ids(named), [wanted[3], wanted[0]])
        same("not found", named.get("notFound"), [missing])
        until = time.monotonic() + 20
        while "endTime" not in min(answer["calls"], key=lambda call: "endTime" in call):
            expect(time.monotonic() < until, "they don't end")
            answer = self.tool.call("GetCallResults", {**selection, "max_staleness": "0s"})
        same("states", states(self.tool.call("GetCallResults", selection)["calls"]), ["ANSWERED"] * 5)

    def watch(self):
        asked = request("watch", [number("00"), number("01"), number("02")])
        placed = self.tool.call("CreateCalls", asked)
        selection = {"request_id": asked["request_id"]}
        method = f"{CALLS}/WatchCallResults"
        seen = self.tool.answers(method, selection, limit=2)
        seen += self.tool.answers(method, {**selection, "cursor": seen[-1]["cursor"]})
        for call_id, end in zip(ids(placed), ("ANSWERED", "BUSY", "NO_ANSWER"), strict=True):
            mine = [message["call"] for message in seen if message["call"]["callId"] == call_id]
            same("revisions", [int(change["revision"]) for change in mine], list(range(1, len(mine) + 1)))
            same("the end", states(mine[-1:]), [end])
            same("over", ["endTime" in change for change in mine], [False] * (len(mine) - 1) + [True])

    def cancel(self):
        to = number("00")
        later = (datetime.now(timezone.utc) + timedelta(hours=1)).strftime("%Y-%m-%dT%H:%M:%SZ")
        asked = {"request_id": request_id("cancel"), "calls": [{"to": [to], "start_time": later}]}
        same("states", states(self.tool.call("CreateCalls", asked)["calls"]), ["SCHEDULED"])
        canceled = self.tool.call("CancelCalls", {"request_id": asked["request_id"]})
        same("states", states(canceled["calls"]), ["CANCELED"])
        same("dials", dials(to), 0)

    def deadline(self):
        to = number("14")
        asked = request("deadline", [to], route="slow")
        began = time.monotonic()
        self.tool.refused(DEADLINE_EXCEEDED, asked, deadline=1)
        took = time.monotonic() - began
        expect(0.9 < took < 3, f"it took {took:.1f} s")
        answer = self.tool.call("CreateCalls", asked, deadline=30)
        known = self.tool.call("GetCallResults", {"request_id": asked["request_id"]})
        same("call ids", ids(answer), ids(known))
        same("calls", len(known["calls"]), 1)
        same("dials", dials(to), 1)

    def health(self):
        for name in ("", CALLS):
            for method in ("Check", "Watch"):
                seen = self.tool.answers(f"{HEALTH}/{method}", {"service": name}, limit=1)
                same(f"{method} {name!r}", seen, [{"status": "SERVING"}])
        seen = self.tool.answers(f"{HEALTH}/Watch", {"service": "nobody"}, limit=1)
        same("Watch of an unknown name", seen, [{"status": "SERVICE_UNKNOWN"}])
        try:
            self.tool.answers(f"{HEALTH}/Check", {"service": "nobody"})
            raise Wrong("an unknown name is known to Check")
        except Failure as failure:
            same("Check of an unknown name", failure.status.get("code"), NOT_FOUND)

    def reflection(self):
        listed = self.tool.services()
        for name in (CALLS, "dialplane.v1.SuppressionService", HEALTH):
            expect(name in listed, f"{name} is not among {listed}")
        same("methods", sorted(self.tool.methods(CALLS)),
             ["CancelCalls", "CreateCalls", "GetCallResults", "ListVendors", "WatchCallResults"])
