// The gateway as this library speaks to it: gRPC, or gRPC-Web with INTEROP_PROTOCOL=grpc-web.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { createRegistry } from "@bufbuild/protobuf";
import { anyUnpack } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError, createClient } from "@connectrpc/connect";
import { createGrpcTransport, createGrpcWebTransport } from "@connectrpc/connect-node";
import { CallService, CreateCallsResponseSchema } from "stubs/dialplane/v1/call_service_pb.js";
import { file_google_rpc_error_details } from "stubs/google/rpc/error_details_pb.js";
import { ServerReflection } from "stubs/grpc/reflection/v1/reflection_pb.js";
import { Health } from "stubs/health/v1/health_pb.js";

const { DIALPLANE_ADDRESS, DIALPLANE_CA, DIALPLANE_CERTIFICATE, DIALPLANE_KEY, DIALPLANE_TOKEN, INTEROP_PROTOCOL } =
  process.env;

const registry = createRegistry(file_google_rpc_error_details, CreateCallsResponseSchema);

const withToken = (next) => (request) => {
  if (DIALPLANE_TOKEN) request.header.set("authorization", `Bearer ${DIALPLANE_TOKEN}`);
  return next(request);
};

function transport() {
  const file = (path) => (path ? readFileSync(path) : undefined);
  const tls = { ca: file(DIALPLANE_CA), cert: file(DIALPLANE_CERTIFICATE), key: file(DIALPLANE_KEY) };
  const options = {
    baseUrl: `${DIALPLANE_CA ? "https" : "http"}://${DIALPLANE_ADDRESS}`,
    interceptors: [withToken],
    nodeOptions: DIALPLANE_CA ? tls : {},
  };
  switch (INTEROP_PROTOCOL || "grpc") {
    case "grpc":
      return createGrpcTransport({ ...options, pingIntervalMs: 30_000 });
    case "grpc-web":
      // As browsers without HTTP/2 do: no streams of requests.
      return createGrpcWebTransport({ ...options, httpVersion: "1.1" });
    default:
      throw new Error(`INTEROP_PROTOCOL ${INTEROP_PROTOCOL}`);
  }
}

const connection = transport();
export const calls = createClient(CallService, connection);
export const health = createClient(Health, connection);
export const reflection = createClient(ServerReflection, connection);

const named = (messages) => Object.fromEntries(messages.map((found) => [found.$typeName.split(".").pop(), found]));

/** The details of an error, by the short names of their types. */
export const details = (error) => named(error.findDetails(registry));

/** Sees to it that an RPC fails with this code. Gives the details of the error. */
export async function refused(code, rpc) {
  let error;
  try {
    await rpc;
  } catch (thrown) {
    error = ConnectError.from(thrown);
  }
  assert.ok(error, `the RPC is OK, not ${Code[code]}`);
  assert.equal(error.code, code, `${error.message}: not ${Code[code]}`);
  return details(error);
}

/** The ErrorInfo of a call's error. */
export function info(call) {
  assert.ok(call.error, `state ${call.state} without an error`);
  return named(call.error.details.map((any) => anyUnpack(any, registry)).filter(Boolean)).ErrorInfo;
}
