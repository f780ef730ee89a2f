import { Type } from "typebox";
import { expect, test } from "vitest";
import { compileCheck, dottedPath } from "../../src/base/check.ts";

const check = compileCheck(
  Type.Object(
    {
      kind: Type.Literal("a", { refusal: "b is not built yet" }),
      size: Type.Optional(Type.Union([Type.Integer({ minimum: 1, maximum: 4 }), Type.Null()])),
      parts: Type.Optional(
        Type.Union([
          Type.String(),
          Type.Array(Type.Object({ text: Type.String() }), { maxItems: 2 }),
        ]),
      ),
      "odd/key~": Type.Optional(Type.Enum(["x", "y"])),
    },
    { additionalProperties: false },
  ),
);

test.each<[unknown, string | null, string]>([
  [{ size: 1 }, "kind", "is required"],
  [{ kind: "b" }, "kind", 'must be "a" (b is not built yet)'],
  [{ kind: "a", size: 5 }, "size", "must be at most 4"],
  [{ kind: "a", size: 0 }, "size", "must be at least 1"],
  [{ kind: "a", size: "2" }, "size", "must be of type integer or null"],
  [{ kind: "a", parts: 5 }, "parts", "must be of type string or array"],
  [{ kind: "a", parts: [{ text: "x" }, { text: 5 }] }, "parts.1.text", "must be of type string"],
  [{ kind: "a", parts: [{}] }, "parts.0.text", "is required"],
  [{ kind: "a", "odd/key~": "z" }, "odd/key~", 'must be one of "x", "y"'],
  [{ kind: "a", siez: 1 }, "siez", "is not known; did you mean 'size'?"],
  [{ kind: "a", colour: 1 }, "colour", "is not known"],
  [5, null, "must be of type object"],
])("of %j tells the problem most worth telling", (value, path, problem) => {
  const found = check(value)!;
  expect([dottedPath(found.path), found.problem]).toEqual([path, problem]);
});

test("has nothing to say of what is right, and changes nothing", () => {
  const value = Object.freeze({ kind: "a", size: null });
  expect(check(value)).toBeNull();
  expect(value).toEqual({ kind: "a", size: null });
});

test("names the unknown field among many", () => {
  const value = Object.fromEntries(Array.from({ length: 20 }, (_, i) => [`extra${i}`, i]));
  expect(check({ kind: "a", ...value })!.path).toEqual(["extra0"]);
});
