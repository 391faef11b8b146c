// Places one call without ever dialling twice, and follows it to its end:
//
//   node call.js +919900000000 [ROUTE [REQUEST_ID]]
import { randomUUID } from "node:crypto";
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import grpc from "@grpc/grpc-js";
import { loadSync } from "@grpc/proto-loader";

const ATTEMPTS = 6;
const DEADLINE_MS = 10_000;
const LONGEST_WAIT_MS = 60_000;

const protos = ["../../proto", "../../third_party"].map((folder) => fileURLToPath(new URL(folder, import.meta.url)));

/** All messages and services, by their full names. */
export const definitions = loadSync(["dialplane/v1/call_service.proto", "google/rpc/error_details.proto"], {
  includeDirs: protos,
  defaults: true,
  enums: String,
  longs: String,
});

/** A client of the gateway at `DIALPLANE_ADDRESS`, with TLS and a token if the environment says so. */
export function connect(env = process.env) {
  const { CallService } = grpc.loadPackageDefinition(definitions).dialplane.v1;
  return new CallService(env.DIALPLANE_ADDRESS || "127.0.0.1:50051", credentials(env), options(env));
}

export function credentials(env) {
  const file = (name) => (env[name] ? readFileSync(env[name]) : null);
  return env.DIALPLANE_CA
    ? grpc.credentials.createSsl(file("DIALPLANE_CA"), file("DIALPLANE_KEY"), file("DIALPLANE_CERTIFICATE"))
    : grpc.credentials.createInsecure();
}

export function options(env) {
  const withToken = (options, nextCall) =>
    new grpc.InterceptingCall(nextCall(options), {
      start(metadata, listener, next) {
        if (env.DIALPLANE_TOKEN) metadata.set("authorization", `Bearer ${env.DIALPLANE_TOKEN}`);
        next(metadata, listener);
      },
    });
  // Pings find out that a connection is dead on which a watch waits for news.
  return { interceptors: [withToken], "grpc.keepalive_time_ms": 30_000 };
}

/** What an error tells besides its code: messages by their full names, such as `google.rpc.ErrorInfo`. */
export function details(error) {
  const [bytes] = error.metadata?.get("grpc-status-details-bin") ?? [];
  return bytes ? unpack(definitions["google.rpc.Status"].deserialize(bytes)) : {};
}

/** The details of a `google.rpc.Status`, such as the `error` of a call. */
export function unpack(status) {
  const found = {};
  for (const { type_url: url, value } of status.details) {
    const name = url.slice(url.lastIndexOf("/") + 1);
    if (definitions[name]) found[name] = definitions[name].deserialize(value);
  }
  return found;
}

/**
 * Places the calls of a request. It has to have a `requestId`: when an answer is lost, the very same request is sent
 * again, and the gateway gives the answer that it recorded instead of dialling once more.
 */
export async function place(client, request) {
  // A name that is written in another way, such as request_id, is passed over by the library.
  if (!request.requestId) throw new Error("a request without a requestId can't be repeated safely");
  const createCalls = promisify(client.createCalls.bind(client));
  for (let attempt = 1; ; attempt++) {
    try {
      return await createCalls(request, { deadline: Date.now() + DEADLINE_MS });
    } catch (error) {
      const wait = pause(error, attempt);
      if (attempt === ATTEMPTS || !mayHelp(error) || wait > LONGEST_WAIT_MS) throw error;
      await sleep(wait);
    }
  }
}

/** Whether the same again may come to something else. */
function mayHelp(error) {
  const found = details(error);
  // These calls failed for good: the same request_id would only be told so again.
  if (found["dialplane.v1.CreateCallsResponse"]) return false;
  // Without details it was not the gateway that spoke: a connection broke, or a proxy answered.
  if (!found["google.rpc.ErrorInfo"] || found["google.rpc.RetryInfo"]) return true;
  return error.code === grpc.status.UNAVAILABLE || error.code === grpc.status.DEADLINE_EXCEEDED;
}

/** How long to wait before the next attempt: what the gateway says, or else longer each time. In milliseconds. */
function pause(error, attempt) {
  const told = details(error)["google.rpc.RetryInfo"]?.retryDelay;
  const least = told ? Number(told.seconds) * 1000 + told.nanos / 1e6 : 200 * 2 ** attempt;
  return least * (1 + Math.random() / 4);
}

/** Gives every change of the request's calls, until all of them are over. A stream that breaks is taken up again. */
export async function* follow(client, requestId) {
  let cursor = "";
  for (let attempt = 1; ; attempt++) {
    // Proxies like to cut streams on which nothing moves.
    const stream = client.watchCallResults({ requestId, cursor, heartbeatInterval: { seconds: 30 } });
    stream.on("error", () => {}); // The loop below has it; this is for one that comes after the loop was left.
    try {
      for await (const message of stream) {
        if (message.call) yield message.call; // A heartbeat has none.
        cursor = message.cursor; // Whoever asks for the next one has dealt with this one.
        attempt = 0;
      }
      return;
    } catch (error) {
      if (attempt === ATTEMPTS || !mayHelp(error)) throw error;
      await sleep(pause(error, attempt));
    } finally {
      stream.cancel();
    }
  }
}

async function main([number, route = "", requestId = randomUUID()]) {
  const client = connect();
  try {
    // Made once for what is to be done, and kept with it. Printed before anything is sent: with this id the same
    // command may be given again, and dials nobody twice.
    console.log("request", requestId);
    await place(client, { requestId, route, calls: [{ to: [number] }] });
    for await (const call of follow(client, requestId)) {
      console.log(call.callId, call.state, call.error?.message ?? "");
    }
  } catch (error) {
    console.error(error.message);
    process.exitCode = 1;
  } finally {
    client.close();
  }
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  if (process.argv.length > 2) {
    await main(process.argv.slice(2));
  } else {
    console.error("usage: node call.js NUMBER [ROUTE [REQUEST_ID]]");
    process.exitCode = 2;
  }
}
