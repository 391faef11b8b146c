"""Places a call so that it can't be dialled twice, and follows it to its end."""

import argparse
import os
import random
import sys
import time
import uuid
from pathlib import Path

import grpc
from google.protobuf import duration_pb2
from google.rpc import error_details_pb2
from grpc_status import rpc_status

from dialplane.v1 import call_pb2, call_service_pb2, call_service_pb2_grpc

ATTEMPTS = 5  # tries of one request, and streams that break in a row
LONGEST_WAIT = 60.0  # seconds: whoever is told to wait longer gives up, and tells the user


def connect() -> grpc.Channel:
    """A channel to the gateway that the environment names."""
    address = os.environ.get("DIALPLANE_ADDRESS", "127.0.0.1:50051")
    # Notices a connection that broke without a word, on which a stream would wait for ever.
    options = [("grpc.keepalive_time_ms", 30_000), ("grpc.keepalive_timeout_ms", 10_000)]
    if "DIALPLANE_CA" in os.environ:
        credentials = grpc.ssl_channel_credentials(
            read("DIALPLANE_CA"), read("DIALPLANE_KEY"), read("DIALPLANE_CERTIFICATE"))
        channel = grpc.secure_channel(address, credentials, options)
    else:
        channel = grpc.insecure_channel(address, options)
    token = os.environ.get("DIALPLANE_TOKEN")
    return grpc.intercept_channel(channel, Bearer(token)) if token else channel


def read(variable: str) -> bytes | None:
    """The file that a variable names, if it is set."""
    path = os.environ.get(variable)
    return Path(path).read_bytes() if path else None


class Bearer(grpc.UnaryUnaryClientInterceptor, grpc.UnaryStreamClientInterceptor):
    """Sends a token with each RPC."""

    def __init__(self, token: str):
        self._header = ("authorization", f"Bearer {token}")

    def intercept_unary_unary(self, continuation, details, request):
        return continuation(self._with_token(details), request)

    intercept_unary_stream = intercept_unary_unary

    def _with_token(self, details):
        return details._replace(metadata=[*(details.metadata or []), self._header])


def place(calls, request, timeout: float = 30.0):
    """Places the calls of a request, which has to have a `request_id`.

    Where the answer was lost the very same request is repeated: by its id the gateway finds what it did the first
    time. So a new id, or a change in the request, would be a second call.
    """
    if not request.request_id:
        raise ValueError("a request without a request_id can't be repeated safely")
    for attempt in range(1, ATTEMPTS + 1):
        try:
            return calls.CreateCalls(request, timeout=timeout)
        except grpc.RpcError as error:
            wait = wait_before_repeating(error, attempt)
            if wait is None or wait > LONGEST_WAIT or attempt == ATTEMPTS:
                raise
            time.sleep(wait)


def wait_before_repeating(error: grpc.RpcError, attempt: int) -> float | None:
    """How many seconds to wait before the same request is sent again; None where that brings nothing."""
    if find(error, call_service_pb2.CreateCallsResponse):
        # These calls failed for good, and are recorded: the same request would only be told so again.
        return None
    told = find(error, error_details_pb2.RetryInfo)
    if told:
        return told.retry_delay.ToTimedelta().total_seconds()
    # DEADLINE_EXCEEDED: the calls are being placed, and the same request waits for what comes of it. Without details
    # it was not the gateway that spoke: a connection broke, or a proxy answered.
    may_help = error.code() in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.DEADLINE_EXCEEDED)
    return pause(attempt) if may_help or not find(error, error_details_pb2.ErrorInfo) else None


def find(error: grpc.RpcError, kind):
    """The detail of that type, if the error has one."""
    status = rpc_status.from_call(error)
    for detail in status.details if status else ():
        found = kind()
        if detail.Unpack(found):
            return found
    return None


def pause(attempt: int) -> float:
    """Longer each time, and not the same for everybody."""
    return min(0.2 * 2**attempt, 10.0) * random.uniform(0.5, 1.0)


def follow(calls, request_id: str, cursor: str = ""):
    """Gives each change of a request's calls, none missing and none twice, until all of them are over.

    A stream that breaks is taken up again behind the last change that was given.
    """
    failures = 0
    while True:
        selection = call_service_pb2.WatchCallResultsRequest(
            request_id=request_id, cursor=cursor, heartbeat_interval=HEARTBEAT)
        try:
            for message in calls.WatchCallResults(selection):
                failures = 0
                if message.HasField("call"):  # A heartbeat has none.
                    yield message.call
                cursor = message.cursor
            return
        except grpc.RpcError as error:
            failures += 1
            # What may be asked for again: the gateway stops, or something in between breaks.
            wait = wait_before_repeating(error, failures)
            if wait is None or wait > LONGEST_WAIT or failures > ATTEMPTS:
                raise
        time.sleep(wait)


HEARTBEAT = duration_pb2.Duration(seconds=30)  # Proxies like to cut streams on which nothing moves.


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("number", help="whom to call, as +919900000000")
    parser.add_argument("--route", default="", help="one of the gateway's routes")
    parser.add_argument("--request-id", default=str(uuid.uuid4()), help="to repeat a request whose answer was lost")
    given = parser.parse_args()
    # A program that may itself be ended half-way writes this down before the first try.
    print(f"request {given.request_id}", flush=True)
    request = call_service_pb2.CreateCallsRequest(
        request_id=given.request_id, route=given.route, calls=[call_pb2.CallSpec(to=[given.number])])
    with connect() as channel:
        calls = call_service_pb2_grpc.CallServiceStub(channel)
        try:
            call = place(calls, request).calls[0]
            for call in follow(calls, given.request_id):
                print(f"{call.call_id} {call_pb2.CallState.Name(call.state)}", flush=True)
        except grpc.RpcError as error:
            print(f"{error.code().name}: {error.details()}", file=sys.stderr)
            return 1
    return 0 if call.state == call_pb2.CALL_STATE_ANSWERED else 1


if __name__ == "__main__":
    sys.exit(main())
