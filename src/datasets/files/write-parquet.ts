/** Writes rows as Parquet: texts, numbers, flags, and lists and objects of them, as Hugging Face's datasets nest messages. */
import type { SchemaElement } from "hyparquet";
import { ByteWriter, parquetWriteRows } from "hyparquet-writer";
import { type Fields, isGiven, isObject } from "../fields.ts";

/** What a column holds, in all rows alike. */
type Shape =
  | { readonly kind: "unknown" | "text" | "number" | "flag" }
  | { readonly kind: "list"; readonly of: Shape }
  | { readonly kind: "object"; readonly fields: Readonly<Record<string, Shape>> };

/** A column whose rows differ in kind, which a table cannot hold. */
export class MixedColumn extends Error {
  override readonly name = "MixedColumn";
}

/** @throws MixedColumn */
export function parquetBytes(rows: readonly Fields[]): Uint8Array {
  const shape = rows.reduce((known: Shape, row) => merged(known, shapeOf(row), ""), {
    kind: "object",
    fields: {},
  });
  const columns = shape.kind === "object" ? shape.fields : {};
  const writer = new ByteWriter();
  // The rows are in memory and so is the writer: nothing is left to wait for.
  void parquetWriteRows({
    writer,
    rows: [...rows],
    columns: Object.keys(columns).map((name) => ({ name })),
    schema: [
      { name: "root", num_children: Object.keys(columns).length },
      ...Object.entries(columns).flatMap(([name, column]) => elementsOf(name, column)),
    ],
    createdBy: "plumbline",
  });
  return writer.getBytes();
}

function shapeOf(value: unknown): Shape {
  if (typeof value === "string") return { kind: "text" };
  if (typeof value === "number") return { kind: "number" };
  if (typeof value === "boolean") return { kind: "flag" };
  if (Array.isArray(value)) {
    const of = value.reduce((known: Shape, each) => merged(known, shapeOf(each), ""), {
      kind: "unknown",
    });
    return { kind: "list", of };
  }
  if (!isObject(value)) return { kind: "unknown" };
  const given = Object.entries(value).filter(([, each]) => isGiven(each));
  return {
    kind: "object",
    fields: Object.fromEntries(given.map(([name, each]) => [name, shapeOf(each)])),
  };
}

/** @throws MixedColumn */
function merged(a: Shape, b: Shape, path: string): Shape {
  if (a.kind === "unknown") return b;
  if (b.kind === "unknown") return a;
  if (a.kind === "list" && b.kind === "list") {
    return { kind: "list", of: merged(a.of, b.of, path) };
  }
  if (a.kind === "object" && b.kind === "object") {
    const fields = { ...a.fields };
    for (const [name, shape] of Object.entries(b.fields)) {
      fields[name] = merged(fields[name] ?? { kind: "unknown" }, shape, path || name);
    }
    return { kind: "object", fields };
  }
  if (a.kind === b.kind) return a;
  throw new MixedColumn(
    `the column '${path}' is ${nameOf(a)} in some rows and ${nameOf(b)} in others`,
  );
}

const nameOf = ({ kind }: Shape) => `a ${kind}`;

/** A node and all below it, in the order that Parquet wants; a list has three levels. */
function elementsOf(name: string, shape: Shape): SchemaElement[] {
  const optional = { name, repetition_type: "OPTIONAL" as const };
  switch (shape.kind) {
    case "unknown":
    case "text":
      return [{ ...optional, type: "BYTE_ARRAY", converted_type: "UTF8" }];
    case "number":
      return [{ ...optional, type: "DOUBLE" }];
    case "flag":
      return [{ ...optional, type: "BOOLEAN" }];
    case "list":
      return [
        { ...optional, converted_type: "LIST", num_children: 1 },
        { name: "list", repetition_type: "REPEATED", num_children: 1 },
        ...elementsOf("element", shape.of),
      ];
    case "object":
      return [
        { ...optional, num_children: Object.keys(shape.fields).length },
        ...Object.entries(shape.fields).flatMap(([field, each]) => elementsOf(field, each)),
      ];
  }
}
