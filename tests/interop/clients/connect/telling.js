// Scenarios about what the gateway tells: of calls, and of itself.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import { fromBinary } from "@bufbuild/protobuf";
import { FileDescriptorProtoSchema } from "@bufbuild/protobuf/wkt";
import { Code } from "@connectrpc/connect";
import { CallState } from "stubs/dialplane/v1/call_pb.js";
import { CallService } from "stubs/dialplane/v1/call_service_pb.js";
import { HealthCheckResponse_ServingStatus as Status } from "stubs/health/v1/health_pb.js";
import { number, RUN } from "../node/harness.js";
import { calls, health, reflection, refused } from "./gateway.js";

const SERVICE = CallService.typeName;

export async function results() {
  const requestId = `${RUN}-results`;
  const references = [0, 1, 2, 3, 4].map((i) => `${RUN}-results-${i}`);
  const specs = references.map((clientReference, i) => ({ clientReference, to: [number(`0${i}`)] }));
  const created = await calls.createCalls({ requestId, calls: specs });

  const pages = [];
  for (let pageToken = ""; ; ) {
    const page = await calls.getCallResults({ requestId, pageSize: 2, pageToken });
    pages.push(page.calls.map((call) => call.callId));
    pageToken = page.nextPageToken;
    if (!pageToken) break;
    assert.ok(pages.length < 5, "no end of pages");
  }
  const ids = created.calls.map((call) => call.callId);
  assert.deepEqual(pages, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);

  const missing = `${RUN}-results-none`;
  const found = await calls.getCallResults({ clientReferences: [references[3], missing, references[1]] });
  assert.deepEqual(found.calls.map((call) => call.clientReference), [references[3], references[1]]);
  assert.deepEqual(found.notFound, [missing]);

  for (let tries = 1; ; tries++) {
    const now = await calls.getCallResults({ requestId, maxStaleness: { seconds: 0n } });
    if (now.calls.every((call) => call.endTime)) {
      assert.equal(now.calls[0]?.state, CallState.ANSWERED);
      break;
    }
    assert.ok(tries < 50, now.calls.map((call) => call.state).join(" "));
    await sleep(100);
  }
}

export async function watch() {
  const requestId = `${RUN}-watch`;
  const specs = ["00", "01", "02"].map((digits) => ({ to: [number(digits)] }));
  const created = await calls.createCalls({ requestId, calls: specs });

  const seen = [];
  let cursor = "";
  const leave = new AbortController();
  for await (const message of calls.watchCallResults({ requestId }, { signal: leave.signal })) {
    seen.push(message.call);
    cursor = message.cursor;
    if (seen.length === 2) break;
  }
  leave.abort();
  // Ends without an error only if the server ends it with OK.
  for await (const message of calls.watchCallResults({ requestId, cursor })) seen.push(message.call);

  for (const { callId } of created.calls) {
    const changes = seen.filter((call) => call.callId === callId);
    const revisions = changes.map((call) => Number(call.revision));
    assert.deepEqual(revisions, revisions.map((_, i) => i + 1));
    assert.ok(changes.at(-1)?.endTime, `state ${changes.at(-1)?.state} is not final`);
  }
  assert.equal(new Set(seen.map((call) => call.callId)).size, 3);
}

/** The first status that a watch tells, before it is left. */
async function firstOf(service) {
  const leave = new AbortController();
  try {
    for await (const { status } of health.watch({ service }, { signal: leave.signal })) return status;
    assert.fail("the stream ended without a message");
  } finally {
    leave.abort();
  }
}

export async function healthy() {
  for (const service of ["", SERVICE]) {
    assert.equal((await health.check({ service })).status, Status.SERVING);
    assert.equal(await firstOf(service), Status.SERVING);
  }
  await refused(Code.NotFound, health.check({ service: "nobody" }));
  assert.equal(await firstOf("nobody"), Status.SERVICE_UNKNOWN);
}

export async function reflect() {
  async function* questions() {
    yield { messageRequest: { case: "listServices", value: "" } };
    yield { messageRequest: { case: "fileContainingSymbol", value: SERVICE } };
  }
  const answers = [];
  for await (const { messageResponse } of reflection.serverReflectionInfo(questions())) answers.push(messageResponse);
  assert.deepEqual(answers.map((answer) => answer.case), ["listServicesResponse", "fileDescriptorResponse"]);

  const listed = answers[0].value.service.map(({ name }) => name);
  for (const name of [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]) {
    assert.ok(listed.includes(name), `${name} is not among ${listed}`);
  }
  const files = answers[1].value.fileDescriptorProto.map((bytes) => fromBinary(FileDescriptorProtoSchema, bytes));
  const file = files.find(({ name }) => name === "dialplane/v1/call_service.proto");
  const methods = file?.service.find(({ name }) => name === "CallService")?.method.map(({ name }) => name);
  assert.deepEqual(methods, CallService.methods.map(({ name }) => name));
}
