// What examples/node does, with this library: a retry that can't dial twice, and a watch that is taken up again.
import { setTimeout as sleep } from "node:timers/promises";
import { durationMs } from "@bufbuild/protobuf/wkt";
import { Code, ConnectError } from "@connectrpc/connect";
import { calls, details } from "./gateway.js";

const ATTEMPTS = 6;
const LONGEST_WAIT_MS = 60_000;

/** Places the calls of a request, which has to have a `requestId`. */
export async function place(request) {
  for (let attempt = 1; ; attempt++) {
    try {
      return await calls.createCalls(request, { timeoutMs: 10_000 });
    } catch (error) {
      await wait(ConnectError.from(error), attempt);
    }
  }
}

/** Gives every change of the request's calls, until all of them are over. */
export async function* follow(requestId) {
  let cursor = "";
  for (let attempt = 1; ; attempt++) {
    const leave = new AbortController();
    try {
      for await (const message of calls.watchCallResults({ requestId, cursor }, { signal: leave.signal })) {
        yield message.call;
        cursor = message.cursor;
        attempt = 0;
      }
      return;
    } catch (error) {
      await wait(ConnectError.from(error), attempt);
    } finally {
      leave.abort();
    }
  }
}

async function wait(error, attempt) {
  const { CreateCallsResponse, ErrorInfo, RetryInfo } = details(error);
  const recorded = CreateCallsResponse !== undefined;
  const mayHelp = !ErrorInfo || RetryInfo || error.code === Code.Unavailable || error.code === Code.DeadlineExceeded;
  const least = RetryInfo?.retryDelay ? durationMs(RetryInfo.retryDelay) : 200 * 2 ** attempt;
  if (attempt === ATTEMPTS || recorded || !mayHelp || least > LONGEST_WAIT_MS) throw error;
  await sleep(least * (1 + Math.random() / 4));
}
