import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { configurationDocument } from "../../scripts/document-configuration.ts";
import { flagOf, settingNames, settingsSchema, variableOf } from "../../src/base/settings.ts";

test("docs/configuration.md is what the schema says", () => {
  expect(readFileSync("docs/configuration.md", "utf8")).toBe(configurationDocument());
});

test("every setting is explained in a sentence", () => {
  for (const name of settingNames) {
    const { description } = settingsSchema.properties[name] as { description?: string };
    expect(description).toMatch(/^[A-Z].*\.$/);
  }
});

test("names follow from the setting's own", () => {
  expect(variableOf("queueSequencesMax")).toBe("PLUMBLINE_QUEUE_SEQUENCES_MAX");
  expect(flagOf("queueSequencesMax")).toBe("--queue-sequences-max");
});
