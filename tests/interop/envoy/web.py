"""What browsers and scripts do through Envoy's filters, by HTTP/1.1: gRPC-Web and JSON."""

import base64
import http.client
import json
import struct

from google.rpc import error_details_pb2, status_pb2

from dialplane.v1 import call_pb2, call_service_pb2 as api

from .rig import Rig, Wrong, check, in_turn

SERVICE = "/dialplane.v1.CallService/"


def frames(body: bytes):
    """The frames of a gRPC-Web answer: whether each has trailers, and what is in it."""
    while body:
        flags, length = struct.unpack(">BI", body[:5])
        check(len(body) >= 5 + length, "a frame is cut off")
        yield bool(flags & 0x80), body[5:5 + length]
        body = body[5 + length:]


def ask_web(address: str, method: str, request, kind, **headers):
    """An RPC by gRPC-Web: gives its status (of HTTP, where that is another than 200), details and messages."""
    message = request.SerializeToString()
    connection = http.client.HTTPConnection(address, timeout=30)
    try:
        connection.request("POST", SERVICE + method, struct.pack(">BI", 0, len(message)) + message, {
            "content-type": "application/grpc-web+proto", "accept": "application/grpc-web+proto", "x-grpc-web": "1",
            **{name.replace("_", "-"): value for name, value in headers.items()}})
        answer = connection.getresponse()
        # Of an RPC that fails at once the trailers are among the headers.
        trailers, messages = {name.lower(): value for name, value in answer.getheaders()}, []
        for is_trailer, content in frames(answer.read()):
            if is_trailer:
                for line in content.decode().splitlines():
                    name, _, value = line.partition(":")
                    trailers[name.strip().lower()] = value.strip()
            else:
                messages.append(kind.FromString(content))
    finally:
        connection.close()
    if answer.status != 200:
        return answer.status, status_pb2.Status(), []
    check("grpc-status" in trailers, "no grpc-status:", trailers)
    packed = trailers.get("grpc-status-details-bin", "")
    details = status_pb2.Status.FromString(base64.b64decode(packed + "=" * (-len(packed) % 4)))
    return int(trailers["grpc-status"]), details, messages


def info_of(status) -> error_details_pb2.ErrorInfo:
    """Who refused, and why."""
    found = error_details_pb2.ErrorInfo()
    check(bool(status.details) and status.details[0].Unpack(found), "no ErrorInfo among the details:", status)
    return found


def calls_to(*numbers):
    """Specs of calls."""
    return [call_pb2.CallSpec(to=[number]) for number in numbers]


def grpc_web_create(rig: Rig) -> None:
    """A call, and a repetition of it."""
    number = rig.number("00")
    request = api.CreateCallsRequest(request_id="web-1", calls=calls_to(number))
    for replayed in (False, True):
        code, _, messages = ask_web(rig.envoy.plain, "CreateCalls", request, api.CreateCallsResponse)
        check(code == 0 and len(messages) == 1, "CreateCalls:", code)
        check(messages[0].replayed == replayed, "replayed:", messages[0].replayed)
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def grpc_web_watch(rig: Rig) -> None:
    """A stream that ends by itself."""
    code, _, messages = ask_web(rig.envoy.plain, "WatchCallResults", api.WatchCallResultsRequest(request_id="web-1"),
                                api.WatchCallResultsResponse)
    check(code == 0 and messages, "WatchCallResults:", code, len(messages))
    revisions = [message.call.revision for message in messages]
    check(revisions == sorted(set(revisions)), "revisions:", revisions)
    check(messages[-1].call.state == call_pb2.CALL_STATE_ANSWERED, "the last state:", messages[-1].call.state)


def grpc_web_error(rig: Rig) -> None:
    """Details of an error: large ones too."""
    numbers = [rig.number("11") for _ in range(40)]
    request = api.CreateCallsRequest(request_id="web-2", route="phonon", calls=calls_to(*numbers))
    code, status, _ = ask_web(rig.envoy.plain, "CreateCalls", request, api.CreateCallsResponse)
    info = info_of(status)
    check((code, info.reason, info.domain, info.metadata["dialed"]) ==
          (8, "INSUFFICIENT_BALANCE", "phonon.io", "no"), code, info)
    check(any(detail.Is(api.CreateCallsResponse.DESCRIPTOR) for detail in status.details), "no packed answer")


def post(address: str, path: str, body=None, method="POST"):
    """JSON over HTTP/1.1: the status and the answer."""
    connection = http.client.HTTPConnection(address, timeout=60)
    try:
        sent = None if body is None else body if isinstance(body, (str, bytes)) else json.dumps(body)
        connection.request(method, path, sent, {"content-type": "application/json"} if sent is not None else {})
        answer = connection.getresponse()
        text = answer.read().decode()
    finally:
        connection.close()
    try:
        return answer.status, json.loads(text)
    except ValueError:
        raise Wrong(f"HTTP {answer.status}, and no JSON: {text[:300]!r}") from None


def json_create(rig: Rig) -> None:
    """A call, and a repetition of it."""
    number = rig.number("00")
    request = {"request_id": "json-1", "route": "knovvu", "calls": [{"to": [number]}]}
    for replayed in (False, True):
        status, answer = post(rig.envoy.plain, SERVICE + "CreateCalls", request)
        check(status == 200, status, answer)
        check(answer["calls"][0]["state"] in ("CALL_STATE_ACCEPTED", "CALL_STATE_ANSWERED"), answer)
        check(answer.get("replayed", False) == replayed, answer)
    check(rig.dials(number) == 1, "dialled:", rig.dials(number))


def detail(answer, kind: str) -> dict:
    """The detail of that type of an error in JSON."""
    found = [each for each in answer.get("details", []) if each.get("@type", "").endswith(f"/{kind}")]
    check(len(found) == 1, f"no {kind} in", json.dumps(answer)[:500])
    return found[0]


def json_errors(rig: Rig) -> None:
    """Errors with all their details, of the gateway and of a vendor."""
    status, answer = post(rig.envoy.plain, SERVICE + "CreateCalls", {"request_id": "json-2", "calls": []})
    check(status == 400 and answer["code"] == 3, status, answer)
    check(detail(answer, "google.rpc.ErrorInfo")["reason"] == "INVALID_REQUEST", answer)
    check(detail(answer, "google.rpc.BadRequest")["field_violations"][0]["field"] == "calls", answer)
    request = {"request_id": "json-3", "route": "phonon", "calls": [{"to": [rig.number("11")]}]}
    status, answer = post(rig.envoy.plain, SERVICE + "CreateCalls", request)
    check(status == 429 and answer["code"] == 8, status, answer)
    info = detail(answer, "google.rpc.ErrorInfo")
    check((info["domain"], info["metadata"]["dialed"]) == ("phonon.io", "no"), info)
    check(len(detail(answer, "dialplane.v1.CreateCallsResponse")["calls"]) == 1, answer)


def json_partial(rig: Rig) -> None:
    """The error of a call within an answer that is OK has its details too."""
    numbers = [rig.number("00"), rig.number("10")]
    status, answer = post(rig.envoy.plain, SERVICE + "CreateCalls", {
        "request_id": "json-4", "route": "mobtexting", "calls": [{"to": [number]} for number in numbers]})
    check(status == 200, status, answer)
    check(detail(answer["calls"][1]["error"], "google.rpc.ErrorInfo")["domain"] == "mobtexting.com", answer)


def json_mistakes(rig: Rig) -> None:
    """What is no request at all never reaches the gateway, and nobody is dialled."""
    number = rig.number("00")
    for body in ("{", {"calls": [{"to": {"number": number}}]}):
        status = 0
        try:
            status, _ = post(rig.envoy.plain, SERVICE + "CreateCalls", body)
        except Wrong as wrong:  # Envoy says it in plain words
            status = 400 if "HTTP 400" in str(wrong) else 0
            check(status == 400, wrong)
        check(status == 400, body, "is answered with", status)
    check(rig.dials(number) == 0, "dialled:", rig.dials(number))


def json_misspelt(rig: Rig) -> None:
    """Envoy passes over fields that it does not know: an id under another name is none, and has to be asked for."""
    number = rig.number("00")
    request = {"request-id": "json-6", "calls": [{"to": [number]}]}
    status, answer = post(rig.envoy.plain, SERVICE + "CreateCalls", request)
    check(status == 400 and detail(answer, "google.rpc.ErrorInfo")["reason"] == "REQUEST_ID_REQUIRED", status, answer)
    check(rig.dials(number) == 0, "dialled:", rig.dials(number))


def json_watch(rig: Rig) -> None:
    """A stream is an array."""
    status, answer = post(rig.envoy.plain, SERVICE + "WatchCallResults", {"request_id": "json-1"})
    check(status == 200 and isinstance(answer, list) and answer, status, answer)
    check(answer[-1]["call"]["state"] == "CALL_STATE_ANSWERED" and answer[-1]["cursor"], answer[-1])


def json_health(rig: Rig) -> None:
    """Health, by GET. It tells what it is asked for: NOT_SERVING is an answer as well, with 200."""
    for name, expected in (("", 200), ("dialplane.v1.CallService", 200), ("nobody", 404)):
        status, answer = post(rig.envoy.plain, f"/healthz?service={name}", method="GET")
        check(status == expected, name, status, answer)
        check(expected != 200 or answer["status"] == "SERVING", answer)


def grpc_web(tools, binary, folder) -> str:
    """`grpc-web`."""
    with Rig(tools, binary, folder) as rig:
        in_turn(rig, grpc_web_create, grpc_web_watch, grpc_web_error)
    return ""


def as_json(tools, binary, folder) -> str:
    """`json`."""
    with Rig(tools, binary, folder, "require_request_id = true") as rig:
        in_turn(rig, json_create, json_errors, json_partial, json_mistakes, json_misspelt, json_watch, json_health)
    return ""


def large(tools, binary, folder) -> str:
    """`large`: as many calls as a request may have, as gRPC and as JSON."""
    with Rig(tools, binary, folder) as rig:
        numbers = [rig.number("00") for _ in range(5_000)]
        answer = rig.create(numbers, "large-1", route="phonon", timeout=60.0)
        check(len(answer.calls) == 5_000, "calls in the answer:", len(answer.calls))
        check(not any(call.HasField("error") for call in answer.calls), "one failed")
        again = rig.create(numbers, "large-1", route="phonon", timeout=60.0)
        check(again.replayed and len(again.calls) == 5_000, "the repetition:", len(again.calls))
        numbers = [rig.number("00") for _ in range(5_000)]
        status, told = post(rig.envoy.plain, SERVICE + "CreateCalls", {
            "request_id": "large-2", "route": "phonon", "calls": [{"to": [number]} for number in numbers]})
        check(status == 200 and len(told["calls"]) == 5_000, "as JSON:", status)
        rang = len(rig.gateway.dialled())
        check(rang == 10_000, "phones that rang:", rang)
        return f"{answer.ByteSize()} bytes"
