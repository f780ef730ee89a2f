/** Our own broken promises. An InvariantError is a bug of ours: nothing catches it to carry on. */

export class InvariantError extends Error {
  override readonly name = "InvariantError";
}

/** @throws InvariantError with the given sentence when the condition does not hold. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new InvariantError(message);
}
