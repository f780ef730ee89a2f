/**
 * Particle filtering: n answers grow side by side, one step a round; after each round all are drawn anew from among
 * themselves, with replacement, by softmax(w), w = logit(clip(process reward, 10⁻⁷, 1 − 10⁻⁷)): good beginnings multiply,
 * bad ones die, and unlike in beam search a mistaken judgement costs some particles only. Those that have ended take
 * part with the weight they ended with. When all have ended the answer is the one of the highest weight, or one drawn
 * by softmax(w).
 * Resampling is systematic (one random offset; each particle has ⌊nw⌋ or ⌈nw⌉ heirs) or multinomial (n draws).
 * Cost: at most n steps and n reward calls a round. Nothing streams as final before the end.
 * Source: Puri et al., arXiv:2502.01618; its_hub, algorithms/particle_gibbs.py (one iteration, multinomial).
 */
import { Type } from "typebox";
import { createRandom, splitSeed, type Uniforms } from "../base/random.ts";
import { noKl, stoppedBy } from "./beam-search.ts";
import { defineStrategy, type ScoredCandidate } from "./define.ts";
import { demandChoices } from "./demands.ts";
import { answersOf, type Branch, demandVerdict, sayAnswers } from "./segments.ts";
import { type Steps, searchSteps, stepOptions } from "./steps.ts";

export const particleFiltering = defineStrategy({
  name: "particle-filtering",
  description: "Grows answers step by step and draws them anew by the rewards of their steps.",
  needsReward: true,
  options: Type.Object({
    n: Type.Integer({ minimum: 1, maximum: 128, default: 8, description: "particles" }),
    iterations: Type.Integer({
      minimum: 1,
      maximum: 1000,
      default: 50,
      description: "steps at most",
    }),
    resampling: Type.Enum(["systematic", "multinomial"], { default: "systematic" }),
    selection: Type.Enum(["best", "sample"], {
      default: "best",
      description: "the answer: that of the highest weight, or one drawn by weight",
    }),
    ...stepOptions,
  }),
  async *run(input, options) {
    const { n, selection } = options;
    demandChoices("particle-filtering", input.choices, n);
    const random = createRandom(splitSeed(input.sampling.seed, -1));
    const { candidates, particles } = yield* searchSteps(
      "particle-filtering",
      input,
      options,
      async (steps) => {
        const last = await filter(steps, random, options);
        return { particles: last, candidates: steps.segments.close("budget") };
      },
    );
    const ranked = answersOf(candidates, candidates.length, input.budget);
    const living = new Set(particles.map(({ index }) => index));
    // those that ended but died out follow: they are answers only where more are asked for than live
    const order = [
      ...ranked.filter((index) => living.has(index)),
      ...ranked.filter((index) => !living.has(index)),
    ];
    const first = selection === "sample" ? drawOne(particles, random) : order[0]!;
    const chosen = [first, ...order.filter((index) => index !== first)].slice(0, input.choices);
    yield* sayAnswers(candidates, chosen);
    const result = { candidates, chosen, kl: noKl, stopped: stoppedBy(candidates, input.budget) };
    yield { type: "done", result: { ...result, warnings: [] } };
  },
});

interface FilterOptions {
  readonly n: number;
  readonly iterations: number;
  readonly resampling: "systematic" | "multinomial";
}

/** @returns the last particles, one entry for each heir: those that ended, and at a budget's end those that did not. */
async function filter(
  steps: Steps,
  random: Uniforms,
  { n, iterations, resampling }: FilterOptions,
): Promise<readonly Branch[]> {
  const { segments, budget } = steps;
  let particles: readonly Branch[] = Array.from({ length: n }, () => segments.root());
  for (let round = 1; round <= iterations; round++) {
    const segment = round === iterations ? {} : steps.step;
    const heirs = countHeirs(particles);
    const grown = await segments.all(
      [...heirs].map(async ([branch, k]) => {
        if (branch.end !== null) return Array.from({ length: k }, () => branch);
        return steps.judge(await segments.extend(branch, k, segment));
      }),
    );
    particles = grown.flat();
    demandVerdict(particles, budget);
    const isOver = particles.every(({ end }) => end !== null) || budget.spent !== null;
    if (isOver) return particles;
    const kept = resample(weightsOf(particles), resampling, random).map((i) => particles[i]!);
    segments.reject(particles.filter((particle) => !kept.includes(particle)));
    particles = kept;
  }
  return particles;
}

/** How often each branch is among the particles, in order of first appearance; the n roots are one. */
function countHeirs(particles: readonly Branch[]): Map<Branch, number> {
  const [first] = particles;
  if (first!.index === null) return new Map([[first!, particles.length]]);
  const heirs = new Map<Branch, number>();
  for (const particle of particles) heirs.set(particle, (heirs.get(particle) ?? 0) + 1);
  return heirs;
}

const clipAt = 1e-7;

/** [n] softmax of the log-weights; an unjudged particle has the least weight there is. */
export function weightsOf(particles: readonly Pick<Branch, "value">[]): number[] {
  const odds = particles.map(({ value }) => {
    const p = Math.min(Math.max(value ?? 0, clipAt), 1 - clipAt);
    return p / (1 - p); // exp(logit p)
  });
  const total = odds.reduce((sum, weight) => sum + weight, 0);
  return odds.map((weight) => weight / total);
}

/**
 * n indices drawn by weight, ascending. Either way index i is drawn n·wᵢ times on average.
 * @param weights [n] summing to 1
 */
export function resample(
  weights: readonly number[],
  how: "systematic" | "multinomial",
  random: Uniforms,
): number[] {
  const n = weights.length;
  const offset = random.uniform();
  const points =
    how === "systematic"
      ? weights.map((_, i) => (i + offset) / n)
      : weights.map((_, i) => (i === 0 ? offset : random.uniform())).sort((a, b) => a - b);
  let reached = weights[0]!;
  let at = 0;
  return points.map((point) => {
    while (point >= reached && at < n - 1) reached += weights[++at]!;
    return at;
  });
}

function drawOne(particles: readonly Branch[], random: Uniforms): ScoredCandidate["index"] {
  const u = random.uniform();
  let reached = 0;
  const weights = weightsOf(particles);
  const at = weights.findIndex((weight) => {
    reached += weight;
    return u < reached;
  });
  return particles.at(at)!.index!; // −1, where rounding left u beyond the sum: the last
}
