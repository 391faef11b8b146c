"""Requests, and errors with their typed details, as grpcio has them."""

import grpc
from google.rpc import error_details_pb2
from grpc_status import rpc_status

import place_call
from dialplane.v1 import call_pb2, call_service_pb2, call_service_pb2_grpc
from scenarios.telling import Wrong, expect, same

channel = place_call.connect()
calls = call_service_pb2_grpc.CallServiceStub(channel)


def request(request_id: str, numbers, route: str = "", **more):
    """A request with one call for each number."""
    return call_service_pb2.CreateCallsRequest(
        request_id=request_id, route=route, calls=[call_pb2.CallSpec(to=[to]) for to in numbers], **more)


def state(call) -> str:
    """ANSWERED, and not CALL_STATE_ANSWERED."""
    return call_pb2.CallState.Name(call.state).removeprefix("CALL_STATE_")


def final(call) -> bool:
    """Whether it is over."""
    return call.HasField("end_time")


def refused(code: grpc.StatusCode, rpc, message, timeout: float = 10.0):
    """The `google.rpc.Status` of an RPC that has to fail with this code."""
    try:
        rpc(message, timeout=timeout)
    except grpc.RpcError as error:
        expect(error.code() is code, f"{error.code()} and not {code}: {error.details()}")
        status = rpc_status.from_call(error)
        expect(status is not None, f"{code} without details")
        same("the code in the details", status.code, code.value[0])
        return status
    raise Wrong(f"OK and not {code}")


def detail(status, kind):
    """The one detail of this kind."""
    found = []
    for packed in status.details:
        unpacked = kind()
        if packed.Unpack(unpacked):
            found.append(unpacked)
    same(f"details of the kind {kind.DESCRIPTOR.name}", len(found), 1)
    return found[0]


def reason(status, wanted: str, domain: str):
    """The metadata of the `ErrorInfo`, which has to be of this reason and domain."""
    info = detail(status, error_details_pb2.ErrorInfo)
    same("reason and domain", (info.reason, info.domain), (wanted, domain))
    return info.metadata


def fields(status) -> list[str]:
    """The fields that a `BadRequest` names."""
    return [violation.field for violation in detail(status, error_details_pb2.BadRequest).field_violations]
