// The scenarios with @grpc/grpc-js.
import { run } from "./harness.js";
import { allFailed, create, deadline, partial, reused } from "./placing.js";
import { badRequest, cancel, retryInfo, validate } from "./refusing.js";
import { healthy, reflect, results, watch } from "./telling.js";

await run({
  create,
  reused,
  partial,
  "all-failed": allFailed,
  "bad-request": badRequest,
  validate,
  "retry-info": retryInfo,
  results,
  watch,
  cancel,
  deadline,
  health: healthy,
  reflection: reflect,
});
// Connections that are left would keep the process.
process.exit(0);
