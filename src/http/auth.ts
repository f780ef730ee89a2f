/** Bearer keys. Health probes carry none; everything else needs one as soon as one is configured. */
import { createHash, timingSafeEqual } from "node:crypto";
import type { FastifyRequest } from "fastify";
import { GatewayError } from "../base/errors.ts";

const openPaths: ReadonlySet<string | undefined> = new Set(["/healthz", "/readyz"]);

/** A hook that throws GatewayError unauthorized. Compares digests of one length, every key each time. */
export function createAuth(keys: readonly string[]): (request: FastifyRequest) => Promise<void> {
  const digests = keys.map(digest);
  return async (request) => {
    if (digests.length === 0 || openPaths.has(request.routeOptions.url)) return;
    const [, key = ""] = /^Bearer +(.+)$/i.exec(request.headers.authorization ?? "") ?? [];
    const given = digest(key);
    const matches = digests.filter((known) => timingSafeEqual(known, given));
    if (matches.length === 0) throw new GatewayError("unauthorized", {});
  };
}

/** Browsers send cookies and reach loopback across sites; sockets have no CORS, so the page's origin is checked. */
export async function refuseForeignOrigin(request: FastifyRequest): Promise<void> {
  const { origin, host = "" } = request.headers;
  if (origin === undefined || (URL.canParse(origin) && new URL(origin).host === host)) return;
  throw new GatewayError("origin_refused", { origin, host });
}

const digest = (key: string) => createHash("sha256").update(key).digest();
