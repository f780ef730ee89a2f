/** Support replies: a plan says each aspect, right at first; flaws change it one by one; then it is written. */
import type { Random } from "../../base/random.ts";
import { between, chance, fill, pick, pickOther } from "../draw.ts";
import { names } from "../names.ts";
import { replyOf, unchecked } from "../pieces.ts";
import {
  type CorpusReply,
  type Mixture,
  type Remedy,
  type ReplyPiece,
  remedies,
  type SupportFacts,
  type SupportFlaw,
} from "../types.ts";
import {
  acknowledgements,
  closings,
  fillers,
  greetings,
  remedyPhrases,
  type Tone,
} from "./phrases.ts";
import { products } from "./products.ts";

/** All that a reply says. Two plans that differ in one aspect give texts that differ in nothing else. */
export interface ReplyPlan {
  readonly name: string;
  readonly order: string;
  readonly product: string;
  readonly remedy: Remedy;
  readonly tone: Tone;
  readonly fillers: readonly string[];
  /** Where the fillers stand: before or after the remedy. */
  readonly fillersFirst: boolean;
  /** In [0, 1), which phrase of each role's list; so it outlives a change of tone or remedy. */
  readonly wording: { greeting: number; acknowledgement: number; remedy: number; closing: number };
  readonly flaws: readonly SupportFlaw[];
}

export function makeSupportReply(
  facts: SupportFacts,
  random: Random,
  mixture: Mixture["support"],
): CorpusReply {
  const flaws = drawFlaws(random, mixture);
  const plan = flaws.reduce((p, flaw) => addFlaw(p, flaw, facts, random), rightPlan(facts, random));
  return writeReply(plan, facts);
}

export function rightPlan(facts: SupportFacts, random: Random): ReplyPlan {
  const { name, order, product, remedy } = facts;
  return {
    name,
    order,
    product,
    remedy,
    tone: "polite",
    fillers: [],
    fillersFirst: chance(random, 0.5),
    wording: {
      greeting: random.uniform(),
      acknowledgement: random.uniform(),
      remedy: random.uniform(),
      closing: random.uniform(),
    },
    flaws: [],
  };
}

/** Independent draws; of curt and rude at most one. */
export function drawFlaws(random: Random, mixture: Mixture["support"]): SupportFlaw[] {
  const { curt, rude, ...independent } = mixture;
  const flaws: SupportFlaw[] = [];
  for (const flaw in independent) {
    // The keys of a mixture without the two tones are flaws.
    const key = flaw as keyof typeof independent;
    if (chance(random, independent[key])) flaws.push(key);
  }
  const tone = random.uniform();
  if (tone < curt) flaws.push("curt");
  else if (tone < curt + rude) flaws.push("rude");
  return flaws;
}

export function addFlaw(
  plan: ReplyPlan,
  flaw: SupportFlaw,
  facts: SupportFacts,
  random: Random,
): ReplyPlan {
  const flaws = [...plan.flaws, flaw];
  switch (flaw) {
    case "wrong-name":
      return { ...plan, flaws, name: pickOther(random, names, facts.name) };
    case "wrong-order":
      return { ...plan, flaws, order: wrongOrder(random, facts.order) };
    case "wrong-product":
      return { ...plan, flaws, product: pickOther(random, products, facts.product) };
    case "wrong-remedy":
      return { ...plan, flaws, remedy: pickOther(random, remedies, facts.remedy) };
    case "curt":
    case "rude":
      return { ...plan, flaws, tone: flaw };
    case "rambling":
      return { ...plan, flaws, fillers: drawFillers(random) };
  }
}

export function writeReply(plan: ReplyPlan, facts: SupportFacts): CorpusReply {
  const { tone, wording, fillersFirst } = plan;
  const remedy = {
    text: remedySentence(plan.remedy, plan),
    truth: remedySentence(facts.remedy, { ...facts, wording }),
  };
  const fillers = plan.fillers.map(unchecked);
  const sentences: ReplyPiece[][] = [
    withClaims(choose(greetings[tone], wording.greeting), plan, facts),
    withClaims(choose(acknowledgements[tone], wording.acknowledgement), plan, facts),
    ...(fillersFirst ? [...fillers, remedy] : [remedy, ...fillers]).map((piece) => [piece]),
    [unchecked(choose(closings[tone], wording.closing))],
  ];
  return replyOf(
    sentences.flatMap((pieces, i) => (i === 0 ? pieces : [unchecked(" "), ...pieces])),
    plan.flaws,
  );
}

type Slots = Pick<SupportFacts, "name" | "order" | "product">;

function remedySentence(remedy: Remedy, { wording, ...slots }: Slots & Pick<ReplyPlan, "wording">) {
  return fill(choose(remedyPhrases[remedy], wording.remedy), slots);
}

/** A sentence cut at its slots, each beside the right value. */
function withClaims(template: string, said: Slots, facts: Slots): ReplyPiece[] {
  return template
    .split(/(\{\w+\})/)
    .map((part) =>
      part.startsWith("{")
        ? { text: fill(part, { ...said }), truth: fill(part, { ...facts }) }
        : unchecked(part),
    );
}

function choose(list: readonly string[], at: number): string {
  return list[Math.floor(at * list.length)]!;
}

/** Half the time one digit differs, else two neighbours are swapped or all four are new. */
function wrongOrder(random: Random, order: string): string {
  for (;;) {
    const other = misread(random, order);
    if (other !== order && !other.startsWith("0")) return other;
  }
}

function misread(random: Random, order: string): string {
  const digits = order.split("");
  const kind = random.integer(4);
  if (kind < 2) {
    digits[random.integer(digits.length)] = String(random.integer(10));
    return digits.join("");
  }
  if (kind === 2) {
    const k = random.integer(digits.length - 1);
    [digits[k], digits[k + 1]] = [digits[k + 1]!, digits[k]!];
    return digits.join("");
  }
  return String(between(random, 1000, 9999));
}

/** One to three different fillers. */
function drawFillers(random: Random): readonly string[] {
  const count = pick(random, [1, 2, 2, 3]);
  const drawn = new Set<string>();
  while (drawn.size < count) drawn.add(pick(random, fillers));
  return [...drawn];
}
