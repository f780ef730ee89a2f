/**
 * A model's chat template: messages → the one text that the model reads. Knows nothing of token ids.
 * NOTE: a template that calls `strftime_now` puts the day's date into the prompt.
 */

import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Template } from "@huggingface/jinja";
import { GatewayError } from "../base/errors.ts";
import { isMissing } from "../base/json-file.ts";
import { namedTokens, readTokenizerConfig, type TokenizerConfig } from "./tokenizer-files.ts";

export interface TemplateMessage {
  readonly role: string;
  readonly content: string;
  readonly name?: string;
}

export interface RenderOptions {
  /** End with the opening of an assistant's message, for the model to write on. */
  addGenerationPrompt: boolean;
}

/** ChatML, the template of the embedded models. */
export const chatMlTemplate =
  "{% for message in messages %}" +
  "{{ '<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>\n' }}" +
  "{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}";

/** A role is spelled by templates as if it were their own text, so it must not be anything else. */
const roles = ["system", "user", "assistant", "tool"];

export class ChatTemplate {
  /** The Jinja source. */
  readonly source: string;
  readonly #template: Template;
  readonly #tokens: Readonly<Record<string, string>>;

  /**
   * Reads `chat_template.jinja`, or else `chat_template` of `tokenizer_config.json`, of several the one
   * named "default".
   * @returns null when the folder has no template: the model continues text, but cannot chat.
   * @throws GatewayError checkpoint_invalid when `tokenizer_config.json` or the template is faulty.
   */
  static async load(folder: string): Promise<ChatTemplate | null> {
    const config = await readTokenizerConfig(folder);
    const path = join(folder, "chat_template.jinja");
    const source = await readIfThere(path);
    if (source !== null) return new ChatTemplate(source, namedTokens(config), path);
    const configPath = join(folder, "tokenizer_config.json");
    const configured = templateOf(config, configPath);
    return configured === null
      ? null
      : new ChatTemplate(configured, namedTokens(config), configPath);
  }

  /**
   * @param tokens what the template knows as `bos_token`, `eos_token` and so on.
   * @throws GatewayError checkpoint_invalid when the source is not Jinja.
   */
  constructor(
    source: string,
    tokens: Readonly<Record<string, string>> = {},
    path = "chat template",
  ) {
    this.source = source;
    this.#tokens = tokens;
    try {
      this.#template = new Template(source);
    } catch (cause) {
      const problem = `the chat template is not valid Jinja (${String(cause)})`;
      const remedy = "Correct it, or put a chat_template.jinja beside it.";
      throw new GatewayError("checkpoint_invalid", { path, problem, remedy }, { cause });
    }
  }

  /** @throws GatewayError invalid_request when a role is unknown or the template refuses the messages. */
  render(messages: readonly TemplateMessage[], { addGenerationPrompt }: RenderOptions): string {
    const unknown = messages.find(({ role }) => !roles.includes(role));
    if (unknown) throw refusal(`the role '${unknown.role}' is not one of ${roles.join(", ")}`);
    const variables = {
      ...this.#tokens,
      messages,
      add_generation_prompt: addGenerationPrompt,
      tools: null,
      documents: null,
    };
    try {
      return this.#template.render(variables);
    } catch (cause) {
      const said = cause instanceof Error ? cause.message : String(cause);
      throw refusal(`the model's chat template refuses them (${said})`, { cause });
    }
  }
}

function refusal(problem: string, options?: ErrorOptions): GatewayError {
  return new GatewayError("invalid_request", { param: "messages", problem }, options);
}

async function readIfThere(path: string): Promise<string | null> {
  try {
    return await readFile(path, "utf8");
  } catch (error) {
    if (isMissing(error)) return null;
    throw error;
  }
}

function templateOf({ chat_template: given }: TokenizerConfig, path: string): string | null {
  if (given === undefined || given === null || typeof given === "string") return given ?? null;
  const chosen = given.find(({ name }) => name === "default");
  if (chosen) return chosen.template;
  throw new GatewayError("checkpoint_invalid", {
    path,
    problem: `none of the chat templates (${given.map(({ name }) => name).join(", ")}) is the default`,
    remedy: "Name one of them 'default'.",
  });
}
