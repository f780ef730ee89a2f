/** Options of every reward that is served elsewhere. Keys are given by the name of their environment variable only. */
import { type Static, Type } from "typebox";
import { secretOf } from "../../base/config.ts";
import { GatewayError } from "../../base/errors.ts";

export const urlOption = Type.String({
  minLength: 1,
  description: "address of the route, e.g. http://gpu1:8000/pooling",
});

export const connectionOptions = {
  api_key_variable: Type.Optional(
    Type.String({
      minLength: 1,
      description: "environment variable whose value is sent as 'Authorization: Bearer …'",
    }),
  ),
  header_variables: Type.Record(Type.String(), Type.String({ minLength: 1 }), {
    default: {},
    description: "other headers: name → environment variable that holds the value",
  }),
  timeout_ms: Type.Integer({
    minimum: 1,
    maximum: 240_000, // fetch itself gives up after 300 s without headers
    default: 30_000,
    description: "a call that takes longer has failed",
  }),
  retries: Type.Integer({
    minimum: 0,
    maximum: 10,
    default: 2,
    description: "further attempts after a lost connection, 429 or 503; nothing else is repeated",
  }),
  retry_wait_ms: Type.Integer({
    minimum: 1,
    maximum: 10_000,
    default: 250,
    description:
      "before attempt i it waits at random up to this × 2^i, or as long as Retry-After says",
  }),
  failures_max: Type.Integer({
    minimum: 1,
    default: 5,
    description: "after so many failed calls in a row the source is left alone for `pause_ms`",
  }),
  pause_ms: Type.Integer({ minimum: 0, default: 10_000, description: "see `failures_max`" }),
  max_concurrent: Type.Integer({
    minimum: 1,
    maximum: 1_024,
    default: 8,
    description: "calls at once",
  }),
  waiting_max: Type.Integer({
    minimum: 1,
    default: 1_024,
    description: "answers that may wait for a call; one more fails at once",
  }),
};

export const remoteOptions = {
  url: urlOption,
  ...connectionOptions,
  accepts_prefixes: Type.Boolean({
    default: false,
    description: "whether the model there was made to judge unfinished answers too",
  }),
};

export const batchMaxOption = Type.Integer({
  minimum: 1,
  maximum: 1_024,
  default: 32,
  description: "answers of one call, which may belong to several requests",
});

const remoteSchema = Type.Object(remoteOptions);
export type RemoteSettings = Static<typeof remoteSchema>;
export type SourceSettings = Omit<RemoteSettings, "accepts_prefixes">;

/** @throws GatewayError invalid_request for an address that is none, or that holds a key. */
export function addressOf(url: string): URL {
  const address = URL.canParse(url) ? new URL(url) : null;
  if (address === null || !/^https?:$/.test(address.protocol)) {
    throw wrong("url", "is no address that begins with http:// or https://");
  }
  if (address.username !== "" || address.password !== "") {
    throw wrong(
      "url",
      "holds a name or password; name it by 'api_key_variable' or 'header_variables'",
    );
  }
  return address;
}

/** @throws GatewayError config_invalid for a variable that is not set, invalid_request for what no header may hold. */
export function headersOf({
  api_key_variable: keyVariable,
  header_variables: headerVariables,
}: Pick<SourceSettings, "api_key_variable" | "header_variables">): Record<string, string> {
  const headers: Record<string, string> = { "content-type": "application/json" };
  const put = (name: string, variable: string, value: string) => {
    // NOTE: checked here, since the error of `new Headers` spells the value, which is a secret.
    if (!/^[\w!#$%&'*+.^`|~-]+$/.test(name))
      throw wrong("header_variables", `has '${name}', which is no header's name`);
    if (!/^[\t\x20-\x7e\x80-\xff]*$/.test(value)) {
      throw wrong("header_variables", `names ${variable}, whose value no header may hold`);
    }
    headers[name.toLowerCase()] = value;
  };
  for (const [name, variable] of Object.entries(headerVariables)) {
    put(name, variable, secretOf(variable));
  }
  if (keyVariable !== undefined) {
    put("authorization", keyVariable, `Bearer ${secretOf(keyVariable)}`);
  }
  return headers;
}

export const wrong = (param: string, problem: string) =>
  new GatewayError("invalid_request", { param, problem });
