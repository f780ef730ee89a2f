// Streams answers over SSE, so many at a time, until the time is up.
import { workerData } from "node:worker_threads";

const { url, streams, ms } = workerData;
const end = performance.now() + ms;

async function client(index) {
  for (let round = 0; performance.now() < end; round++) {
    const response = await fetch(`${url}/v1/chat/completions`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: JSON.stringify({
        model: "tiny-chat",
        messages: [
          {
            role: "user",
            content:
              "Hello, my name is Emma. Where is my kettle? I placed order #7209 23 days ago.",
          },
        ],
        seed: index * 1000 + round,
        max_tokens: 60,
        stream: true,
      }),
    });
    if (!response.ok) throw new Error(`${response.status} ${await response.text()}`);
    for await (const chunk of response.body) void chunk;
  }
}

await Promise.all(Array.from({ length: streams }, (_, index) => client(index)));
