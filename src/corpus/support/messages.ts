/** The customer's message: an opening, the problem with its facts, a plea, a sign-off; the name stands once. */
import type { Random } from "../../base/random.ts";
import { between, fill, pick, pickOther } from "../draw.ts";
import { names } from "../names.ts";
import type { Problem, SupportFacts } from "../types.ts";
import { deliveryDaysMax, remedyFor, returnDaysMax } from "./policy.ts";
import { colours, partName, products, productsWithParts, softProducts } from "./products.ts";

export function makeSupportPrompt(random: Random): { content: string; facts: SupportFacts } {
  const problem = pick(random, problems);
  const days = drawDays(random, problem);
  const colour = pick(random, colours);
  const facts: SupportFacts = {
    domain: "support",
    name: pick(random, names),
    order: String(between(random, 1000, 9999)),
    product: pick(random, problem === "missing-part" ? productsWithParts : products),
    problem,
    remedy: remedyFor(problem, days),
  };
  const slots = {
    name: facts.name,
    order: facts.order,
    product: facts.product,
    days,
    colour,
    other: pickOther(random, colours, colour),
    part: partName(facts.product) ?? "",
  };
  const frame = pick(random, frames);
  const told = frame
    .replace("{problem}", pick(random, complaintsOf(problem, facts.product)))
    .replace("{plea}", pick(random, pleas));
  return { content: fill(told, slots), facts };
}

// The two problems with a deadline have two remedies each, so they come twice.
const problems: readonly Problem[] = [
  "damaged",
  "not-arrived",
  "not-arrived",
  "wrong-colour",
  "charged-twice",
  "return",
  "return",
  "missing-part",
  "cancel",
];

/** Both sides of each deadline equally often. */
function drawDays(random: Random, problem: Problem): number {
  const isLate = random.integer(2) === 1;
  if (problem === "return") {
    return isLate ? between(random, returnDaysMax + 1, 80) : between(random, 3, returnDaysMax);
  }
  return isLate ? between(random, deliveryDaysMax + 1, 40) : between(random, 3, deliveryDaysMax);
}

const frames: readonly string[] = [
  "Hi, this is {name}. {problem} {plea}",
  "Hello, my name is {name}. {problem} {plea}",
  "Hi, {name} here. {problem} {plea}",
  "Good morning, I am {name}. {problem} {plea}",
  "Hello! {problem} {plea} Thanks, {name}",
  "Hi there. {problem} {plea} Best wishes, {name}",
  "{problem} {plea} Regards, {name}",
  "{problem} {plea} My name is {name}.",
];

const pleas: readonly string[] = [
  "Can you help?",
  "What can you do for me?",
  "Please let me know.",
  "How can we solve this?",
  "Could you look into it?",
  "What happens now?",
];

function complaintsOf(problem: Problem, product: string): readonly string[] {
  return problem === "damaged" && softProducts.includes(product) ? torn : complaints[problem];
}

const torn: readonly string[] = [
  "My {product} arrived torn. The order number is #{order}.",
  "The {product} in order #{order} came with a large hole.",
  "I opened order #{order} today and the {product} was ripped.",
  "The {product} from order #{order} is torn on one side.",
];

const complaints: Readonly<Record<Problem, readonly string[]>> = {
  damaged: [
    "My {product} arrived broken. The order number is #{order}.",
    "The {product} in order #{order} came with a big crack.",
    "I opened order #{order} today and the {product} was damaged.",
    "The {product} from order #{order} was crushed in the box.",
    "Order #{order} is here, but the {product} is in pieces.",
  ],
  "not-arrived": [
    "I ordered a new {product} {days} days ago and it is still not here. The order is #{order}.",
    "My {product} has not arrived. I placed order #{order} {days} days ago.",
    "It has been {days} days since order #{order}, and there is no sign of my {product}.",
    "Where is my {product}? I placed order #{order} {days} days ago.",
    "I have waited {days} days for the {product} in order #{order}.",
  ],
  "wrong-colour": [
    "I chose {colour}, but the {product} in order #{order} is {other}.",
    "My {product} came in {other} instead of {colour}. The order number is #{order}.",
    "The {product} from order #{order} should be {colour}, and you sent a {other} one.",
    "In order #{order} I asked for {colour} and received my {product} in {other}.",
  ],
  "charged-twice": [
    "I was charged twice for the {product} in order #{order}.",
    "My card shows two payments for order #{order}, but I bought only one {product}.",
    "You took the money for my {product} two times. The order is #{order}.",
    "Order #{order} for one {product} was billed to me twice.",
  ],
  return: [
    "I bought the {product} in order #{order} {days} days ago and want to return it.",
    "I would like to send back my {product}. Order #{order} came {days} days ago.",
    "After {days} days I no longer want the {product} from order #{order}. I want to return it.",
    "May I return the {product} from order #{order}? It arrived {days} days ago.",
    "The {product} does not suit me. I got order #{order} {days} days ago and hope to give it back.",
  ],
  "missing-part": [
    "The {part} was missing from my {product}. The order number is #{order}.",
    "My {product} from order #{order} came without the {part}.",
    "I unpacked order #{order} and could not find the {part} of the {product}.",
    "There is no {part} in the box with my {product}, order #{order}.",
  ],
  cancel: [
    "I ordered a new {product} an hour ago and want to cancel. The order is #{order}.",
    "Please cancel order #{order}. I no longer need the {product}.",
    "I changed my mind about the {product}. Order #{order} has not been sent yet.",
    "Can I stop order #{order} before you send the {product}?",
  ],
};
