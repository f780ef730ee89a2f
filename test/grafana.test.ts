import { readFileSync } from "node:fs";
import { join } from "node:path";
import { expect, test } from "vitest";
import { createMetrics } from "../src/base/metrics.ts";

const dashboard = readFileSync(
  join(import.meta.dirname, "../grafana/dashboards/plumbline.json"),
  "utf8",
);

test("every metric a panel reads is one the server has", async () => {
  const metrics = createMetrics();
  const served = new Set(
    [...(await metrics.text()).matchAll(/^# TYPE (\S+)/gm)].map((match) => match[1]!),
  );
  metrics.close();
  const read = [...dashboard.matchAll(/\b(?:plumbline|process|nodejs)_\w+/g)].map(
    (match) => match[0],
  );
  expect(read.length).toBeGreaterThan(10);
  const known = (name: string) =>
    served.has(name) || served.has(name.replace(/_(bucket|sum|count)$/, ""));
  expect(read.filter((name) => !known(name))).toEqual([]);
});
