// What every scenario needs, whatever library it uses: the numbers, the dial log, and telling what came of it.
import assert from "node:assert/strict";

const LIMIT_MS = 60_000;

/** Begins every request id and reference of this run. */
export const RUN = process.env.INTEROP_RUN;

/** The number whose last two digits are these. */
export const number = (digits) => `+9199${process.env.INTEROP_NUMBERS}${digits}`;

/** The same in another country. */
export const turkish = (digits) => `+9053${process.env.INTEROP_NUMBERS}${digits}`;

/** How often a number was dialled. */
export async function dials(number) {
  const answer = await fetch(`${process.env.INTEROP_SANDBOX}/sandbox/dialed?number=${number.slice(1)}`);
  assert.equal(answer.status, 200, "the dial log");
  return (await answer.json()).dialed.length;
}

/** Has `action` done, and sees to it that each of the numbers was dialled just so often by it. */
export async function dialling(expected, action) {
  const numbers = Object.keys(expected);
  const before = await Promise.all(numbers.map(dials));
  const result = await action();
  const after = await Promise.all(numbers.map(dials));
  const dialled = Object.fromEntries(numbers.map((number, i) => [number, after[i] - before[i]]));
  assert.deepEqual(dialled, expected, `dialled ${JSON.stringify(dialled)}, not ${JSON.stringify(expected)}`);
  return result;
}

/** Runs those scenarios that were asked for, one after the other, and tells of each on a line. */
export async function run(scenarios) {
  for (const name of (process.env.INTEROP_SCENARIOS ?? "").split(/\s+/).filter(Boolean)) {
    try {
      assert.ok(scenarios[name], "this client does not know it");
      await within(scenarios[name]());
      console.log(`ok ${name}`);
    } catch (error) {
      console.error(error);
      console.log(`FAILED ${name}: ${String(error?.message ?? error).replace(/\s+/g, " ")}`);
    }
  }
}

async function within(scenario) {
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => reject(new Error(`not done after ${LIMIT_MS} ms`)), LIMIT_MS);
  });
  try {
    await Promise.race([scenario, late]);
  } finally {
    clearTimeout(timer);
  }
}
