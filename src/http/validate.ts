/** Fastify's validator: our checks, OpenAI's names. Nothing is coerced, defaulted or removed. */
import type { FastifySchemaCompiler } from "fastify";
import type { TSchema } from "typebox";
import { compileCheck, dottedPath, type Problem } from "../base/check.ts";
import { GatewayError } from "../base/errors.ts";

export const validatorCompiler: FastifySchemaCompiler<TSchema> = ({ schema }) => {
  const check = compileCheck(schema);
  return (value) => {
    const problem = check(value);
    return problem ? { error: invalidRequest(problem) } : { value };
  };
};

/** @param prefix where the checked value stands in the client's message. */
export function invalidRequest({ path, problem }: Problem, prefix: readonly string[] = []) {
  const param = dottedPath([...prefix, ...path]);
  return new GatewayError("invalid_request", { param, problem });
}
