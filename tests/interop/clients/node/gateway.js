// The gateway as this library speaks to it. Connecting, and details of errors, are the example's.
import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";
import { connect, credentials, details, options, unpack } from "../../../../examples/node/call.js";

const require = createRequire(import.meta.url);
const LOADED = { defaults: true, enums: String, longs: String };

export const calls = connect();

/** A client of a service whose proto another package has. */
function client(file, name) {
  const service = name.split(".").reduce((at, part) => at[part], grpc.loadPackageDefinition(loadSync(file, LOADED)));
  return new service(process.env.DIALPLANE_ADDRESS, credentials(process.env), options(process.env));
}

const packaged = (name, ...path) => join(dirname(require.resolve(`${name}/package.json`)), ...path);

export const health = client(packaged("grpc-health-check", "proto", "health", "v1", "health.proto"), "grpc.health.v1.Health");
export const reflection = client(
  packaged("@grpc/reflection", "build", "proto", "grpc", "reflection", "v1", "reflection.proto"),
  "grpc.reflection.v1.ServerReflection",
);

/** One unary RPC. */
export function ask(of, method, request, deadlineMs = 30_000) {
  return promisify(of[method].bind(of))(request, { deadline: Date.now() + deadlineMs });
}

/** Sees to it that an RPC fails with this code. Gives the details of the error, by the short names of their types. */
export async function refused(code, rpc) {
  let error;
  try {
    await rpc;
  } catch (thrown) {
    error = thrown;
  }
  assert.ok(error, `the RPC is OK, not ${code}`);
  assert.equal(grpc.status[error.code], code, `${grpc.status[error.code] ?? error.message}, not ${code}: ${error.details}`);
  return short(details(error));
}

/** The ErrorInfo of a call's error. */
export function info(call) {
  assert.ok(call.error, `${call.state} without an error`);
  return short(unpack(call.error)).ErrorInfo;
}

function short(found) {
  return Object.fromEntries(Object.entries(found).map(([name, value]) => [name.split(".").pop(), value]));
}
