/** Measured values as a Markdown table. */

export interface Row {
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  readonly aim?: string;
}

export function tableOf(rows: readonly Row[]): string {
  const body = rows.map(
    ({ what, value, unit, aim = "" }) => `| ${what} | ${rounded(value)} ${unit} | ${aim} |`,
  );
  return ["| measured | value | aim |", "| --- | --- | --- |", ...body].join("\n");
}

/** To three digits. */
export const rounded = (value: number) => `${Number(value.toPrecision(3))}`;
