// Runs the README's request against the server that `npm start` just started, and checks the answer.
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";

const READY_WITHIN_MS = 60_000;
const readme = readFileSync(new URL("../README.md", import.meta.url), "utf8");
const request = /```sh\n(curl [^`]*)```/.exec(readme)?.[1];
if (!request) throw new Error("the README has no curl");
const { origin } = new URL(/http:\/\/[^\s'"]+/.exec(request)[0]);

const started = performance.now();
while (!(await isReady())) {
  if (performance.now() - started > READY_WITHIN_MS)
    throw new Error(`${origin} is not ready after ${READY_WITHIN_MS} ms`);
  await new Promise((resolve) => setTimeout(resolve, 100));
}
const answer = JSON.parse(execFileSync("bash", ["-c", request], { encoding: "utf8" }));
const { candidates, chosen, reward } = answer.alignment ?? {};
const isScored =
  candidates?.length === 16 && candidates.every((candidate) => Number.isFinite(candidate.reward));
const isBest = reward === Math.max(...(candidates ?? []).map((candidate) => candidate.reward));
const isChosen = answer.choices?.[0]?.message?.content === candidates?.[chosen]?.text;
if (!isScored || !isBest || !isChosen)
  throw new Error(`unexpected answer: ${JSON.stringify(answer)}`);
console.log(
  `README: answered with the best of 16, ${Math.round(performance.now() - started)} ms after the check began`,
);

async function isReady() {
  return fetch(`${origin}/readyz`).then(
    (response) => response.ok,
    () => false, // not listening yet
  );
}
