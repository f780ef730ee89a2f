// node-llama-cpp on llama.cpp's CPU build. Its best way to answer many requests is one context with a sequence for
// each, which it evaluates in one batch. Sequences share nothing, so each sample of one prompt reads the prompt anew.
import { getLlama, LlamaLogLevel } from "node-llama-cpp";
import { answerBench } from "../peer-protocol.ts";

await answerBench(async ({ gguf, threads, contextTokens }) => {
  const llama = await getLlama({
    gpu: false,
    build: "never",
    maxThreads: threads,
    logLevel: LlamaLogLevel.error,
  });
  const model = await llama.loadModel({ modelPath: gguf, gpuLayers: 0 });

  return async ({ prompts, samples, tokens, sampling }) => {
    const rows = prompts.flatMap((prompt) => Array.from({ length: samples }, () => prompt));
    const context = await model.createContext({
      sequences: rows.length,
      contextSize: contextTokens,
      threads,
    });
    const sequences = rows.map(() => context.getSequence());
    const started = performance.now();
    const answers = await Promise.all(
      rows.map(async (prompt, r) => {
        const answer = { firstMs: 0, tokens: [] };
        const options = { ...samplings[sampling], seed: r + 1, yieldEogToken: true };
        for await (const token of sequences[r].evaluate(prompt, options)) {
          answer.firstMs ||= performance.now() - started;
          answer.tokens.push(token);
          if (answer.tokens.length === tokens) break;
        }
        return answer;
      }),
    );
    const ms = performance.now() - started;
    await context.dispose();
    return {
      ms,
      firstMs: answers.map(({ firstMs }) => firstMs),
      tokens: answers.map((answer) => answer.tokens),
    };
  };
});

const samplings = {
  greedy: { temperature: 0 },
  "temperature-1": { temperature: 1, topK: 50, topP: 1, minP: 0 },
};
