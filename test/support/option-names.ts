/** Every name that a schema of options gives, those within lists and objects of options too. */
export function optionNames(schema: unknown): string[] {
  if (typeof schema !== "object" || schema === null) return [];
  const own = "properties" in schema ? Object.keys(schema.properties ?? {}) : [];
  return [...own, ...Object.values(schema).flatMap(optionNames)];
}
