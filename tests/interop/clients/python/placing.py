"""Scenarios of calls that are placed, or refused."""

import os
import time

import grpc
from google.protobuf import timestamp_pb2
from google.rpc import error_details_pb2

import place_call
from dialplane.v1 import call_pb2, call_service_pb2
from reading import calls, detail, fields, reason, refused, request, state
from scenarios.telling import Wrong, dials, expect, number, request_id, same

CODES = grpc.StatusCode


def create():
    to = number("00")
    asked = request(request_id("create"), [to])
    first = place_call.place(calls, asked)
    # Whose answer was lost has it from a further try.
    same("whether the first answer is marked as repeated", first.replayed, "INTEROP_LOST" in os.environ)
    states = [state(call) for call in place_call.follow(calls, asked.request_id)]
    same("the end", states[-1], "ANSWERED")
    again = place_call.place(calls, asked)
    expect(again.replayed, "the second answer is not marked as repeated")
    same("call ids", [call.call_id for call in again.calls], [call.call_id for call in first.calls])
    same("dials", dials(to), 1)


def reused():
    one, other = number("00"), number("00")
    calls.CreateCalls(request(request_id("reused"), [one]), timeout=10)
    status = refused(CODES.ALREADY_EXISTS, calls.CreateCalls, request(request_id("reused"), [other]))
    reason(status, "REQUEST_ID_REUSED", "dialplane")
    same("dials", (dials(one), dials(other)), (1, 0))


def partial():
    asked = request(request_id("partial"), [number("00"), number("10"), number("01")], route="mobtexting")
    answer = calls.CreateCalls(asked, timeout=10)
    good, wrong, busy = answer.calls
    for call in (good, busy):
        expect(call.call_id and not call.HasField("error"), f"{state(call)} with an error, or without an id")
    same("the second", (state(wrong), wrong.error.code), ("FAILED", CODES.INVALID_ARGUMENT.value[0]))
    info = detail(wrong.error, error_details_pb2.ErrorInfo)
    same("domain", info.domain, "mobtexting.com")
    same("metadata", (info.metadata["vendor"], info.metadata["dialed"]), ("mobtexting", "no"))
    same("metadata", (info.metadata["vendor_code"], info.metadata["http_status"]), ("422", "422"))


def all_failed():
    asked = request(request_id("all-failed"), [number("11"), number("11")], route="phonon")
    status = refused(CODES.RESOURCE_EXHAUSTED, calls.CreateCalls, asked)
    metadata = reason(status, "INSUFFICIENT_BALANCE", "phonon.io")
    same("request_id", metadata["request_id"], asked.request_id)
    packed = detail(status, call_service_pb2.CreateCallsResponse)
    same("states", [state(call) for call in packed.calls], ["FAILED"] * 2)
    expect(all(call.call_id for call in packed.calls), "a call without an id")
    for call in packed.calls:
        reason(call.error, "INSUFFICIENT_BALANCE", "phonon.io")


def bad_request():
    empty = refused(CODES.INVALID_ARGUMENT, calls.CreateCalls, request(request_id("empty"), []))
    same("fields", fields(empty), ["calls"])
    good = number("00")
    asked = request(request_id("bad"), [good, "12"], all_or_nothing=True)
    wrong = refused(CODES.INVALID_ARGUMENT, calls.CreateCalls, asked)
    same("fields", fields(wrong), ["calls[1].to[0]"])
    same("dials", dials(good), 0)


def validate():
    good = number("00")
    answer = calls.CreateCalls(request(request_id("validate"), [good, "12"], validate_only=True), timeout=10)
    same("ids", [call.call_id for call in answer.calls], ["", ""])
    right, wrong = answer.calls
    expect(not right.HasField("error"), f"the good one has an error: {right.error.message}")
    same("the wrong one", wrong.error.code, CODES.INVALID_ARGUMENT.value[0])
    same("dials", dials(good), 0)


def retry_info():
    first, second = number("00"), number("00")
    calls.CreateCalls(request(request_id("paced-1"), [first], route="paced"), timeout=10)
    began = time.monotonic()
    asked = request(request_id("paced-2"), [second], route="paced")
    status = refused(CODES.RESOURCE_EXHAUSTED, calls.CreateCalls, asked, timeout=2)
    expect(time.monotonic() - began < 1, "it was not refused at once")
    reason(status, "PACE_EXHAUSTED", "dialplane")
    expect(detail(status, error_details_pb2.QuotaFailure).violations, "an empty QuotaFailure")
    wait = detail(status, error_details_pb2.RetryInfo).retry_delay.ToTimedelta().total_seconds()
    expect(2 < wait <= 60, f"a wait of {wait} s")
    same("dials", (dials(first), dials(second)), (1, 0))


def deadline():
    to = number("14")
    asked = request(request_id("deadline"), [to], route="slow")
    began = time.monotonic()
    try:
        calls.CreateCalls(asked, timeout=1)
        raise Wrong("an answer within the deadline")
    except grpc.RpcError as error:
        same("the code", error.code(), CODES.DEADLINE_EXCEEDED)
    took = time.monotonic() - began
    expect(0.9 < took < 3, f"it took {took:.1f} s")
    answer = calls.CreateCalls(asked, timeout=30)
    known = calls.GetCallResults(call_service_pb2.GetCallResultsRequest(request_id=asked.request_id), timeout=10)
    same("call ids", [call.call_id for call in answer.calls], [call.call_id for call in known.calls])
    same("calls", len(known.calls), 1)
    same("dials", dials(to), 1)


def cancel():
    to = number("00")
    later = timestamp_pb2.Timestamp(seconds=int(time.time()) + 3600)
    asked = call_service_pb2.CreateCallsRequest(
        request_id=request_id("cancel"), calls=[call_pb2.CallSpec(to=[to], start_time=later)])
    same("state", state(calls.CreateCalls(asked, timeout=10).calls[0]), "SCHEDULED")
    answer = calls.CancelCalls(call_service_pb2.CancelCallsRequest(request_id=asked.request_id), timeout=10)
    same("states", [state(call) for call in answer.calls], ["CANCELED"])
    same("dials", dials(to), 0)
