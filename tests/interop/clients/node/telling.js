// Scenarios about what the gateway tells: of calls, and of itself.
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import descriptor from "protobufjs/ext/descriptor/index.js";
import { definitions } from "../../../../examples/node/call.js";
import { ask, calls, health, reflection, refused } from "./gateway.js";
import { number, RUN } from "./harness.js";

const SERVICE = "dialplane.v1.CallService";

export async function results() {
  const requestId = `${RUN}-results`;
  const references = [0, 1, 2, 3, 4].map((i) => `${RUN}-results-${i}`);
  const specs = references.map((clientReference, i) => ({ clientReference, to: [number(`0${i}`)] }));
  const created = await ask(calls, "createCalls", { requestId, calls: specs });

  const pages = [];
  for (let pageToken = ""; ; ) {
    const page = await ask(calls, "getCallResults", { requestId, pageSize: 2, pageToken });
    pages.push(page.calls.map((call) => call.callId));
    pageToken = page.nextPageToken;
    if (!pageToken) break;
    assert.ok(pages.length < 5, "no end of pages");
  }
  const ids = created.calls.map((call) => call.callId);
  assert.deepEqual(pages, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)]);

  const missing = `${RUN}-results-none`;
  const clientReferences = [references[3], missing, references[1]];
  const found = await ask(calls, "getCallResults", { clientReferences });
  assert.deepEqual(found.calls.map((call) => call.clientReference), [references[3], references[1]]);
  assert.deepEqual(found.notFound, [missing]);

  for (let tries = 1; ; tries++) {
    const now = await ask(calls, "getCallResults", { requestId, maxStaleness: { seconds: 0 } });
    if (now.calls.every((call) => call.endTime)) {
      assert.equal(now.calls[0]?.state, "CALL_STATE_ANSWERED");
      break;
    }
    assert.ok(tries < 50, now.calls.map((call) => call.state).join(" "));
    await sleep(100);
  }
}

export async function watch() {
  const requestId = `${RUN}-watch`;
  const specs = ["00", "01", "02"].map((digits) => ({ to: [number(digits)] }));
  const created = await ask(calls, "createCalls", { requestId, calls: specs });

  const seen = [];
  let cursor = "";
  const first = calls.watchCallResults({ requestId });
  first.on("error", () => {});
  for await (const message of first) {
    seen.push(message.call);
    cursor = message.cursor;
    if (seen.length === 2) break;
  }
  first.cancel();
  // Ends without an error only if the server ends it with OK.
  for await (const message of calls.watchCallResults({ requestId, cursor })) seen.push(message.call);

  for (const { callId } of created.calls) {
    const changes = seen.filter((call) => call.callId === callId);
    const revisions = changes.map((call) => Number(call.revision));
    assert.deepEqual(revisions, revisions.map((_, i) => i + 1));
    assert.ok(changes.at(-1)?.endTime, `${changes.at(-1)?.state} is not final`);
  }
  assert.equal(new Set(seen.map((call) => call.callId)).size, 3);
}

async function firstOf(stream) {
  stream.on("error", () => {});
  try {
    for await (const message of stream) return message;
    assert.fail("the stream ended without a message");
  } finally {
    stream.cancel();
  }
}

export async function healthy() {
  for (const service of ["", SERVICE]) {
    assert.equal((await ask(health, "check", { service })).status, "SERVING");
    assert.equal((await firstOf(health.watch({ service }))).status, "SERVING");
  }
  await refused("NOT_FOUND", ask(health, "check", { service: "nobody" }));
  assert.equal((await firstOf(health.watch({ service: "nobody" }))).status, "SERVICE_UNKNOWN");
}

export async function reflect() {
  const stream = reflection.serverReflectionInfo();
  const answers = stream[Symbol.asyncIterator]();
  stream.write({ listServices: "" });
  const listed = (await answers.next()).value.listServicesResponse.service.map(({ name }) => name);
  for (const name of [SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1.ServerReflection"]) {
    assert.ok(listed.includes(name), `${name} is not among ${listed}`);
  }
  stream.write({ fileContainingSymbol: SERVICE });
  const files = (await answers.next()).value.fileDescriptorResponse.fileDescriptorProto;
  stream.end();
  assert.equal((await answers.next()).done, true);
  const decoded = files.map((bytes) => descriptor.FileDescriptorProto.decode(bytes));
  const file = decoded.find(({ name }) => name === "dialplane/v1/call_service.proto");
  const methods = file?.service.find(({ name }) => name === "CallService")?.method.map(({ name }) => name);
  assert.deepEqual(methods, Object.keys(definitions[SERVICE]));
}
