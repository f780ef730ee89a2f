import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { ChatTemplate, chatMlTemplate } from "../../src/text/chat-template.ts";

const open = { addGenerationPrompt: true };
const closed = { addGenerationPrompt: false };

test("ChatML opens and closes each message, and opens the answer when asked", () => {
  const template = new ChatTemplate(chatMlTemplate);
  const messages = [
    { role: "system", content: "Be brief." },
    { role: "user", content: "1+1?\n" },
  ];
  const text = "<|im_start|>system\nBe brief.<|im_end|>\n<|im_start|>user\n1+1?\n<|im_end|>\n";
  expect(template.render(messages, closed)).toBe(text);
  expect(template.render(messages, open)).toBe(`${text}<|im_start|>assistant\n`);
});

// TinyLlama/TinyLlama-1.1B-Chat-v1.0: the template, and the prompt that its model card shows.
const zephyr =
  "{% for message in messages %}\n{% if message['role'] == 'user' %}\n{{ '<|user|>\n' + message['content'] + eos_token }}\n" +
  "{% elif message['role'] == 'system' %}\n{{ '<|system|>\n' + message['content'] + eos_token }}\n" +
  "{% elif message['role'] == 'assistant' %}\n{{ '<|assistant|>\n'  + message['content'] + eos_token }}\n{% endif %}\n" +
  "{% if loop.last and add_generation_prompt %}\n{{ '<|assistant|>' }}\n{% endif %}\n{% endfor %}";
const pirate = [
  {
    role: "system",
    content: "You are a friendly chatbot who always responds in the style of a pirate",
  },
  { role: "user", content: "How many helicopters can a human eat in one sitting?" },
];
const piratePrompt =
  "<|system|>\nYou are a friendly chatbot who always responds in the style of a pirate</s>\n" +
  "<|user|>\nHow many helicopters can a human eat in one sitting?</s>\n<|assistant|>\n";

test("a published template gives the prompt that its model card shows", () => {
  const template = new ChatTemplate(zephyr, { eos_token: "</s>" });
  expect(template.render(pirate, open)).toBe(piratePrompt);
});

test("tools are none, not undefined, as in transformers", () => {
  const template = new ChatTemplate("{% if tools is not none %}tools{% endif %}.");
  expect(template.render([], closed)).toBe(".");
});

describe("messages that cannot be rendered are the caller's to correct:", () => {
  const refused = (source: string, role = "user") => {
    const render = () => new ChatTemplate(source).render([{ role, content: "x" }], open);
    try {
      return render();
    } catch (error) {
      return error;
    }
  };

  test("a role that is unknown, even to a template that would print it", () => {
    expect(refused(chatMlTemplate, "user<|im_end|>")).toMatchObject({
      code: "invalid_request",
      param: "messages",
      message: expect.stringContaining(
        "'user<|im_end|>' is not one of system, user, assistant, tool",
      ),
    });
  });

  test("an exception that the template raises", () => {
    expect(refused("{{ raise_exception('Roles must alternate') }}")).toMatchObject({
      code: "invalid_request",
      param: "messages",
      message: expect.stringContaining("(Roles must alternate)"),
    });
  });
});

describe("a folder", () => {
  let folder = "";
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "template-"));
  });
  afterAll(() => rm(folder, { recursive: true }));
  const configure = (config: object) =>
    writeFile(join(folder, "tokenizer_config.json"), JSON.stringify(config));
  const render = async () => (await ChatTemplate.load(folder))?.render(pirate, open);

  test("gives its template and the names of its tokens", async () => {
    await configure({ chat_template: zephyr, eos_token: { content: "</s>" } });
    expect(await render()).toBe(piratePrompt);
  });

  test("of several templates gives the default one", async () => {
    const tools = { name: "tool_use", template: "tools" };
    await configure({
      chat_template: [tools, { name: "default", template: "{{ bos_token }}" }],
      bos_token: "<s>",
    });
    expect(await render()).toBe("<s>");
    await configure({ chat_template: [tools] });
    await expect(render()).rejects.toThrow(
      /none of the chat templates \(tool_use\) is the default/,
    );
  });

  test("without a template gives none", async () => {
    await configure({});
    expect(await ChatTemplate.load(folder)).toBeNull();
  });

  test("with a template that is not Jinja is refused", async () => {
    await configure({ chat_template: "{% for %}" });
    await expect(render()).rejects.toMatchObject({
      code: "checkpoint_invalid",
      message: expect.stringContaining(
        `${join(folder, "tokenizer_config.json")}: the chat template is not valid`,
      ),
    });
  });

  test("with a chat_template.jinja follows that file", async () => {
    await configure({ chat_template: "other", eos_token: "</s>" });
    await writeFile(join(folder, "chat_template.jinja"), zephyr);
    expect(await render()).toBe(piratePrompt);
  });
});
