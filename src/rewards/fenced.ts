/** Fenced blocks of Markdown, which is how models set programs and JSON apart from what they say about them. */

export interface FencedBlock {
  /** What stands after the opening fence, in lower case: "python"; empty when nothing does. */
  readonly name: string;
  readonly body: string;
}

/** The blocks that are closed, in order. Fences are three backticks or more; a longer one holds shorter ones. */
export function fencedBlocks(text: string): readonly FencedBlock[] {
  const blocks: FencedBlock[] = [];
  let open: { readonly fence: string; readonly name: string; readonly lines: string[] } | null =
    null;
  for (const line of text.split("\n")) {
    const [, fence, info] = /^\s{0,12}(`{3,})([^`]*)$/.exec(line) ?? [];
    const isClosing = open && info?.trim() === "" && fence!.length >= open.fence.length;
    if (open && isClosing) {
      blocks.push({ name: open.name, body: open.lines.join("\n") });
      open = null;
    } else if (open) open.lines.push(line);
    else if (fence) open = { fence, name: info!.trim().toLowerCase(), lines: [] };
  }
  return blocks;
}
