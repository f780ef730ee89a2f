/** JSON files: an array of objects, however it is laid out, or lines of objects under the wrong ending. */
import { RowFault } from "../fault.ts";
import { parseObject, readJsonl } from "./jsonl.ts";
import type { RawRow } from "./raw-row.ts";
import { readText } from "./text.ts";

/** The line of a row is the one that it begins on. @throws GatewayError dataset_unusable */
export async function* readJson(file: string): AsyncGenerator<RawRow> {
  if (await beginsWithArray(file)) yield* readArray(file);
  else yield* readJsonl(file);
}

async function beginsWithArray(file: string): Promise<boolean> {
  for await (const piece of readText(file)) {
    const text = piece.trimStart();
    if (text !== "") return text.startsWith("[");
  }
  return false;
}

async function* readArray(file: string): AsyncGenerator<RawRow> {
  const scanner = new ElementScanner();
  for await (const piece of readText(file)) {
    for (const { text, line } of scanner.feed(piece)) {
      yield { place: { file, line }, fields: parseObject(text) };
    }
  }
  if (scanner.depth === 0) return;
  const fields = new RowFault("not_json", null, "is JSON without its end");
  yield { place: { file, line: scanner.line }, fields };
}

interface Element {
  readonly text: string;
  readonly line: number;
}

/** Cuts an array into its elements without parsing them: brackets outside of texts are counted. */
class ElementScanner {
  /** 0 outside of the array, 1 within, more within an element. */
  depth = 0;
  line = 1;
  #element = "";
  #elementLine = 1;
  #isInText = false;
  #isEscaped = false;

  *feed(piece: string): Generator<Element> {
    let from = 0; // of what belongs to the element and is not yet in #element
    for (let i = 0; i < piece.length; i++) {
      const character = piece[i]!;
      if (character === "\n") this.line++;
      const isEnd = this.#isEnd(character);
      if (isEnd || this.#isStart(character)) {
        const text = this.#element + piece.slice(from, i);
        if (isEnd && text.trim() !== "") yield { text, line: this.#elementLine };
        this.#element = "";
        this.#elementLine = this.line;
        from = isEnd || this.depth === 0 ? i + 1 : i;
      }
      this.#count(character);
    }
    if (this.depth > 0) this.#element += piece.slice(from);
  }

  /** A comma between elements, or the array's own end. */
  #isEnd(character: string): boolean {
    return this.depth === 1 && !this.#isInText && (character === "," || character === "]");
  }

  /** The array's own bracket, or a brace of an element. */
  #isStart(character: string): boolean {
    return this.depth === 0 ? character === "[" : this.depth === 1 && character === "{";
  }

  #count(character: string): void {
    if (this.#isEscaped) this.#isEscaped = false;
    else if (this.#isInText) {
      if (character === '"') this.#isInText = false;
      else this.#isEscaped = character === "\\";
    } else if (character === '"') this.#isInText = true;
    else if (character === "[" || character === "{") this.depth++;
    else if (character === "]" || character === "}") this.depth--;
  }
}
