// Scenarios in which nobody is dialled, or not yet.
import assert from "node:assert/strict";
import { ask, calls, info, refused } from "./gateway.js";
import { dialling, number, RUN } from "./harness.js";

const seconds = ({ seconds, nanos }) => Number(seconds) + nanos / 1e9;
const fields = ({ fieldViolations }) => fieldViolations.map(({ field }) => field);

export async function badRequest() {
  const none = await refused("INVALID_ARGUMENT", ask(calls, "createCalls", { requestId: `${RUN}-none` }));
  assert.deepEqual(fields(none.BadRequest), ["calls"]);
  const request = {
    requestId: `${RUN}-bad-request`,
    calls: [{ to: [number("00")] }, { to: ["nobody"] }],
    allOrNothing: true,
  };
  const { BadRequest } = await dialling({ [number("00")]: 0 }, () =>
    refused("INVALID_ARGUMENT", ask(calls, "createCalls", request)),
  );
  assert.deepEqual(fields(BadRequest), ["calls[1].to[0]"]);
}

export async function validate() {
  const request = {
    requestId: `${RUN}-validate`,
    calls: [{ to: [number("00")] }, { to: ["nobody"] }],
    validateOnly: true,
  };
  const answer = await dialling({ [number("00")]: 0 }, () => ask(calls, "createCalls", request));
  const [good, wrong] = answer.calls;
  assert.equal(answer.calls.length, 2);
  assert.deepEqual([good.callId, wrong.callId, answer.requestId], ["", "", ""]);
  assert.equal(good.error, null);
  assert.equal(wrong.error?.code, 3, "INVALID_ARGUMENT");
  assert.equal(info(wrong).reason, "INVALID_CALL");
}

export async function retryInfo() {
  const request = (name) => ({ requestId: `${RUN}-${name}`, route: "paced", calls: [{ to: [number("00")] }] });
  await dialling({ [number("00")]: 1 }, async () => {
    await ask(calls, "createCalls", request("paced-1"));
    const began = performance.now();
    const found = await refused("RESOURCE_EXHAUSTED", ask(calls, "createCalls", request("paced-2"), 2000));
    const took = performance.now() - began;
    assert.ok(took < 1000, `after ${took} ms`);
    assert.equal(found.ErrorInfo.reason, "PACE_EXHAUSTED");
    assert.ok(found.QuotaFailure.violations.length > 0, "no violations");
    const wait = seconds(found.RetryInfo.retryDelay);
    assert.ok(wait > 2 && wait <= 60, `RetryInfo of ${wait} s`);
  });
}

export async function cancel() {
  const requestId = `${RUN}-cancel`;
  const start = Math.floor(Date.now() / 1000) + 3600;
  await dialling({ [number("00")]: 0 }, async () => {
    const request = { requestId, calls: [{ to: [number("00")], startTime: { seconds: start } }] };
    const { calls: [waiting] } = await ask(calls, "createCalls", request);
    assert.equal(waiting.state, "CALL_STATE_SCHEDULED");
    assert.equal(Number(waiting.scheduledTime.seconds), start);
    const { calls: [canceled] } = await ask(calls, "cancelCalls", { callIds: [waiting.callId] });
    assert.equal(canceled.state, "CALL_STATE_CANCELED");
  });
}
