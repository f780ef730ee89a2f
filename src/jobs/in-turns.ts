/** Work on many prompts, as evaluations do it. */

/** More than any answer to a prompt of the corpus needs. */
export const ANSWER_TOKENS_MAX = 160;

const AT_ONCE = 8;

/** In order of the items, a few at a time: enough to fill the engine's batch. */
export async function inTurns<T, R>(
  items: readonly T[],
  task: (item: T, index: number) => Promise<R>,
): Promise<R[]> {
  const results: R[] = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const index = next++;
      results[index] = await task(items[index]!, index);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  return results;
}

/** The first of an endless source. */
export const take = <T>(source: Generator<T, never>, count: number): T[] =>
  Array.from({ length: count }, () => source.next().value);
