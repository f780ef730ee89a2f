/** Files of a batch on a disk that may be full: what fails is said with the path, and nothing is lost by it. */
import { GatewayError } from "../../base/errors.ts";

/** @throws GatewayError training_write_failed for what the system refuses */
export async function writing<T>(path: string, act: () => Promise<T>): Promise<T> {
  try {
    return await act();
  } catch (cause) {
    if (!(cause instanceof Error) || !("syscall" in cause)) throw cause;
    throw new GatewayError("training_write_failed", { path, problem: cause.message }, { cause });
  }
}
