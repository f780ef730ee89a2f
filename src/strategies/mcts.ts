/**
 * Monte-Carlo tree search over steps. Each simulation goes down the tree from the question, every time to the child of
 * the highest bound, to a step that has no next ones yet; draws `width` next steps for it; values each; and adds these
 * values to all nodes on the way up. Bounds, with N visits of a node and Q the mean of the values below it:
 *   uct:   Q + c·√(ln N_parent / N)                    Kocsis and Szepesvári, ECML 2006
 *   puct:  Q + c·P·√N_parent / (1 + N),  P = softmax of the step's mean log-probability among its siblings
 *                                                      Silver et al., Nature 529 (2016)
 * A value is the process reward of the steps so far, or with `rollout` that of an answer that is drawn from there to its
 * end, which is a candidate too. Nodes under which all has ended are left out. The finished answer of the highest reward
 * is returned; where the simulations finished none, the most visited path is drawn to its end.
 * Cost: width steps and width reward calls a simulation, with `rollout` width answers. Nothing streams before the end.
 */
import { type Static, Type } from "typebox";
import { splitSeed } from "../base/random.ts";
import { noKl, stoppedBy } from "./beam-search.ts";
import { defineStrategy } from "./define.ts";
import { demandChoices } from "./demands.ts";
import { answersOf, type Branch, demandVerdict, sayAnswers } from "./segments.ts";
import { type Steps, searchSteps, stepOptions } from "./steps.ts";

const options = Type.Object({
  simulations: Type.Integer({ minimum: 1, maximum: 1000, default: 16 }),
  width: Type.Integer({
    minimum: 1,
    maximum: 64,
    default: 4,
    description: "next steps that are drawn of each step",
  }),
  exploration: Type.Number({ minimum: 0, default: 1, description: "c" }),
  bound: Type.Enum(["uct", "puct"], { default: "uct" }),
  value: Type.Enum(["process", "rollout"], { default: "process" }),
  ...stepOptions,
});

export const mcts = defineStrategy({
  name: "mcts",
  description: "Searches a tree of steps where the process reward promises most.",
  needsReward: true,
  options,
  async *run(input, asked) {
    demandChoices("mcts", input.choices, asked.width, "width");
    const candidates = yield* searchSteps("mcts", input, asked, async (steps) => {
      const root = nodeOf(steps.segments.root(), null, 1);
      for (let i = 0; i < asked.simulations; i++) {
        if (root.isClosed || (i > 0 && steps.budget.spent !== null)) break;
        await simulate(steps, root, asked);
      }
      await finishPath(steps, root, input.choices);
      return steps.segments.close(input.budget.spent === null ? "rejected" : "budget");
    });
    const chosen = answersOf(candidates, input.choices, input.budget);
    yield* sayAnswers(candidates, chosen);
    const result = { candidates, chosen, kl: noKl, stopped: stoppedBy(candidates, input.budget) };
    yield { type: "done", result: { ...result, warnings: [] } };
  },
});

type Options = Static<typeof options>;

interface Node {
  readonly branch: Branch;
  readonly parent: Node | null;
  /** Among its siblings. */
  readonly prior: number;
  children: readonly Node[];
  visits: number;
  /** Σ of the values below it. */
  total: number;
  /** Whether everything below it has ended. */
  isClosed: boolean;
}

function nodeOf(branch: Branch, parent: Node | null, prior: number): Node {
  const isClosed = branch.end !== null;
  return { branch, parent, prior, children: [], visits: 0, total: 0, isClosed };
}

async function simulate(steps: Steps, root: Node, asked: Options): Promise<void> {
  let leaf = root;
  while (leaf.children.length > 0) {
    leaf = argmax(
      leaf.children.filter(({ isClosed }) => !isClosed),
      (child) => boundOf(child, asked),
    );
  }
  const drawn = await steps.segments.extend(leaf.branch, asked.width, steps.step);
  const judged = await steps.judge(drawn);
  demandVerdict(judged, steps.budget);
  const values = await steps.segments.all(judged.map((branch) => worthOf(steps, branch, asked)));
  const priors = priorsOf(judged, leaf.branch.tokens.length);
  leaf.children = judged.map((branch, i) => nodeOf(branch, leaf, priors[i]!));
  for (const [i, child] of leaf.children.entries()) {
    for (let node: Node | null = child; node !== null; node = node.parent) {
      node.visits += 1;
      node.total += values[i]!;
    }
  }
  for (let node: Node | null = leaf; node !== null; node = node.parent) {
    node.isClosed = node.children.every(({ isClosed }) => isClosed);
  }
}

/** How promising a child is: what it gave so far, and the more the less it was tried. It has been visited. */
export function boundOf(
  node: Pick<Node, "visits" | "total" | "prior"> & { readonly parent: { visits: number } | null },
  { bound, exploration }: Pick<Options, "bound" | "exploration">,
): number {
  const { visits, total, prior, parent } = node;
  const mean = total / visits;
  const tried = parent!.visits;
  if (bound === "uct") return mean + exploration * Math.sqrt(Math.log(tried) / visits);
  return mean + (exploration * prior * Math.sqrt(tried)) / (1 + visits);
}

/** The step's value; 0 where no source judged it, the least a process reward's product or mean can be. */
async function worthOf(steps: Steps, branch: Branch, { value }: Options): Promise<number> {
  if (value === "process" || branch.end !== null || steps.budget.spent !== null) {
    return branch.value ?? 0;
  }
  const start = { ...branch, index: null, seed: splitSeed(branch.seed, -1) };
  const judged = await steps.judge(await steps.segments.extend(start, 1, {}));
  return judged[0]!.value ?? 0;
}

/** softmax over siblings of their mean log-probability a token. */
function priorsOf(branches: readonly Branch[], from: number): number[] {
  const weights = branches.map(({ tokens }) => {
    const step = tokens.slice(from);
    return Math.exp(step.reduce((sum, { logprob }) => sum + logprob, 0) / step.length);
  });
  const total = weights.reduce((sum, weight) => sum + weight, 0);
  return weights.map((weight) => weight / total);
}

/** Where fewer answers have ended than are wanted: the most visited paths are drawn to their ends. */
async function finishPath(steps: Steps, root: Node, choices: number): Promise<void> {
  const { segments } = steps;
  const missing = choices - segments.endedCount;
  if (missing <= 0 || steps.budget.spent !== null) return;
  const open = leavesOf(root).filter(({ isClosed }) => !isClosed);
  const grown = await segments.all(
    open.slice(0, missing).map(({ branch }) => segments.extend(branch, 1, {})),
  );
  await steps.judge(grown.flat());
}

/** Leaves, those on the most visited paths first, of equally visited ones the better. */
function leavesOf(node: Node): Node[] {
  const order = node.children.toSorted(
    (a, b) => b.visits - a.visits || b.total / b.visits - a.total / a.visits,
  );
  return order.flatMap((child) => (child.children.length === 0 ? [child] : leavesOf(child)));
}

function argmax<T>(items: readonly T[], value: (item: T) => number): T {
  return items.reduce((best, item) => (value(item) > value(best) ? item : best));
}
