// Scenarios in which calls are placed.
import assert from "node:assert/strict";
import { follow, place } from "../../../../examples/node/call.js";
import { ask, calls, info, refused } from "./gateway.js";
import { dialling, number, RUN, turkish } from "./harness.js";

export async function create() {
  const to = number("00");
  const request = { requestId: `${RUN}-create`, calls: [{ to: [to] }] };
  await dialling({ [to]: 1 }, async () => {
    const first = await place(calls, request);
    // Whose answer was lost has it from a further try.
    assert.equal(first.replayed, "INTEROP_LOST" in process.env);
    const states = [];
    for await (const call of follow(calls, request.requestId)) states.push(call.state);
    assert.equal(states.at(-1), "CALL_STATE_ANSWERED", states.join(" "));
    const second = await place(calls, request);
    assert.equal(second.replayed, true);
    assert.equal(second.calls[0].callId, first.calls[0].callId);
  });
}

export async function reused() {
  const requestId = `${RUN}-reused`;
  await ask(calls, "createCalls", { requestId, calls: [{ to: [number("00")] }] });
  await dialling({ [number("01")]: 0, [number("00")]: 0 }, async () => {
    const other = { requestId, calls: [{ to: [number("01")] }] };
    const { ErrorInfo } = await refused("ALREADY_EXISTS", ask(calls, "createCalls", other));
    assert.equal(ErrorInfo.reason, "REQUEST_ID_REUSED");
    assert.equal(ErrorInfo.domain, "dialplane");
  });
}

export async function partial() {
  const request = {
    requestId: `${RUN}-partial`,
    route: "mobtexting",
    calls: ["00", "10", "01"].map((digits) => ({ to: [number(digits)] })),
  };
  const expected = { [number("00")]: 1, [number("10")]: 0, [number("01")]: 1 };
  const answer = await dialling(expected, () => ask(calls, "createCalls", request));
  const [first, second, third] = answer.calls;
  assert.equal(answer.calls.length, 3);
  for (const call of [first, third]) {
    assert.ok(call.callId, "no call_id");
    assert.equal(call.error, null);
  }
  assert.equal(second.state, "CALL_STATE_FAILED");
  assert.equal(second.error.code, 3, "INVALID_ARGUMENT");
  const { domain, metadata } = info(second);
  assert.equal(domain, "mobtexting.com");
  for (const key of ["vendor", "vendor_code", "http_status"]) assert.ok(metadata[key], `no ${key}`);
  assert.equal(metadata.dialed, "no");
}

export async function allFailed() {
  const requestId = `${RUN}-all-failed`;
  const request = { requestId, route: "phonon", calls: [{ to: [number("11")] }, { to: [turkish("11")] }] };
  const found = await refused("RESOURCE_EXHAUSTED", ask(calls, "createCalls", request));
  assert.equal(found.ErrorInfo.reason, "INSUFFICIENT_BALANCE");
  assert.equal(found.ErrorInfo.domain, "phonon.io");
  assert.equal(found.ErrorInfo.metadata.request_id, requestId);
  const packed = found.CreateCallsResponse;
  assert.equal(packed.calls.length, 2);
  for (const call of packed.calls) {
    assert.ok(call.callId, "no call_id");
    assert.equal(info(call).reason, "INSUFFICIENT_BALANCE");
  }
}

export async function deadline() {
  const to = number("14");
  const request = { requestId: `${RUN}-deadline`, route: "slow", calls: [{ to: [to] }] };
  await dialling({ [to]: 1 }, async () => {
    const began = performance.now();
    await refused("DEADLINE_EXCEEDED", ask(calls, "createCalls", request, 1000));
    const took = performance.now() - began;
    assert.ok(took > 900 && took < 3000, `after ${took} ms`);
    const known = await ask(calls, "getCallResults", { requestId: request.requestId });
    assert.equal(known.calls.length, 1);
    const again = await ask(calls, "createCalls", request, 50_000);
    assert.equal(again.calls.length, 1);
    assert.equal(again.calls[0].callId, known.calls[0].callId);
  });
}
