"""Scenarios of health and reflection."""

import os

import grpc
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2 as messages

from reading import channel
from scenarios.telling import Wrong, expect, same

CALLS = "dialplane.v1.CallService"
STATUS = health_pb2.HealthCheckResponse


def health():
    stub = health_pb2_grpc.HealthStub(channel)
    for name in ("", CALLS):
        asked = health_pb2.HealthCheckRequest(service=name)
        same(f"Check {name!r}", stub.Check(asked, timeout=10).status, STATUS.SERVING)
        same(f"Watch {name!r}", first(stub.Watch(asked, timeout=10)), STATUS.SERVING)
    unknown = health_pb2.HealthCheckRequest(service="nobody")
    same("Watch of an unknown name", first(stub.Watch(unknown, timeout=10)), STATUS.SERVICE_UNKNOWN)
    try:
        stub.Check(unknown, timeout=10)
        raise Wrong("an unknown name is known to Check")
    except grpc.RpcError as error:
        same("Check of an unknown name", error.code(), grpc.StatusCode.NOT_FOUND)


def first(stream):
    answer = next(stream)
    stream.cancel()
    return answer.status


# The example's channel adds it to RPCs with one request, and has no others.
TOKEN = [("authorization", f"Bearer {os.environ['DIALPLANE_TOKEN']}")] if "DIALPLANE_TOKEN" in os.environ else []


def reflection():
    # The package has the older version alone. Its messages are the same, field by field.
    for version in ("v1", "v1alpha"):
        ask = channel.stream_stream(
            f"/grpc.reflection.{version}.ServerReflection/ServerReflectionInfo",
            request_serializer=messages.ServerReflectionRequest.SerializeToString,
            response_deserializer=messages.ServerReflectionResponse.FromString)
        listed, defined = ask(iter([
            messages.ServerReflectionRequest(list_services="*"),
            messages.ServerReflectionRequest(file_containing_symbol=CALLS)]), timeout=10, metadata=TOKEN)
        names = [service.name for service in listed.list_services_response.service]
        for name in (CALLS, "dialplane.v1.SuppressionService", "grpc.health.v1.Health"):
            expect(name in names, f"{version}: {name} is not among {names}")
        files = [descriptor_pb2.FileDescriptorProto.FromString(file)
                 for file in defined.file_descriptor_response.file_descriptor_proto]
        services = [f"{file.package}.{service.name}" for file in files for service in file.service]
        expect(CALLS in services, f"{version}: {CALLS} is not defined among {services}")
