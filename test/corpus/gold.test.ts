import { expect, test } from "vitest";
import { createRandom } from "../../src/base/random.ts";
import {
  arithmeticFlaws,
  domains,
  flawless,
  goldReward,
  type Mixture,
  makePrompt,
  makeReply,
  supportFlaws,
} from "../../src/corpus/index.ts";

const maximum = { support: 3.5, arithmetic: 2 } as const;

test.each(domains)("a flawless %s reply is correct and gets the highest reward", (domain) => {
  const random = createRandom(1);
  for (let i = 0; i < 3000; i++) {
    const prompt = makePrompt(domain, random);
    const reply = makeReply(prompt, random, flawless);
    expect(reply.flaws).toEqual([]);
    const gold = goldReward(prompt, reply.text);
    expect([gold.total, gold.correct, reply.text]).toEqual([maximum[domain], true, reply.text]);
  }
});

test.each([...supportFlaws, ...arithmeticFlaws])("the flaw %s alone lowers the reward", (flaw) => {
  const domain = supportFlaws.some((known) => known === flaw) ? "support" : "arithmetic";
  const mixture: Mixture = { ...flawless, [domain]: { ...flawless[domain], [flaw]: 1 } };
  const random = createRandom(2);
  for (let i = 0; i < 1000; i++) {
    const prompt = makePrompt(domain, random);
    const { text } = makeReply(prompt, random, mixture);
    expect(goldReward(prompt, text).total, text).toBeLessThanOrEqual(maximum[domain] - 0.5);
  }
});
