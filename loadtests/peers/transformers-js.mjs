// transformers.js on onnxruntime-node. One `generate` runs at a time, so its best way to answer many requests is one
// batch, padded on the left. Samples of one prompt are a batch of copies: it has no other way.
import { basename, dirname } from "node:path";
import { AutoModelForCausalLM, BaseStreamer, env, Tensor } from "@huggingface/transformers";
import { answerBench } from "../peer-protocol.ts";

await answerBench(async ({ onnx, threads }) => {
  env.allowRemoteModels = false;
  env.localModelPath = dirname(onnx);
  const model = await AutoModelForCausalLM.from_pretrained(basename(onnx), {
    device: "cpu",
    dtype: "fp32",
    session_options: { intraOpNumThreads: threads, interOpNumThreads: 1 },
  });

  return async ({ prompts, samples, tokens, sampling }) => {
    const rows = prompts.flatMap((prompt) => Array.from({ length: samples }, () => prompt));
    const started = performance.now();
    const first = new FirstToken();
    const output = await model.generate({
      ...padded(rows),
      streamer: first,
      max_new_tokens: tokens,
      eos_token_id: null, // every sequence runs to its full length
      do_sample: sampling === "temperature-1",
      temperature: 1,
      top_k: 50,
    });
    const ms = performance.now() - started;
    const length = output.dims[1];
    const generated = output.tolist().map((row) => row.slice(length - tokens).map(Number));
    output.dispose();
    return { ms, firstMs: rows.map(() => first.at - started), tokens: generated };
  };
});

class FirstToken extends BaseStreamer {
  at = 0;
  calls = 0;
  put() {
    this.calls++;
    if (this.calls === 2) this.at = performance.now(); // the first call brings the prompts
  }
  end() {}
}

function padded(rows) {
  const length = Math.max(...rows.map((row) => row.length));
  const [ids, mask] = [0n, 0n].map(() => new BigInt64Array(rows.length * length));
  rows.forEach((row, r) => {
    const start = (r + 1) * length - row.length;
    row.forEach((id, i) => {
      ids[start + i] = BigInt(id);
      mask[start + i] = 1n;
    });
  });
  const shape = [rows.length, length];
  return {
    input_ids: new Tensor("int64", ids, shape),
    attention_mask: new Tensor("int64", mask, shape),
  };
}
