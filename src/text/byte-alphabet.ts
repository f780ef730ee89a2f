/**
 * GPT-2's alphabet: each of the 256 bytes has a printable character, so that byte-level tokens can be
 * written as JSON strings. Printable Latin-1 bytes stand for themselves, the other 68 for U+0100 onwards.
 * Source: Radford et al. 2019, `bytes_to_unicode` of github.com/openai/gpt-2, src/encoder.py.
 */

/** [256] the character of each byte. */
export const byteCharacters: readonly string[] = characters();

/** The byte of each character; a character outside the alphabet is absent. */
export const characterBytes: ReadonlyMap<string, number> = new Map(
  byteCharacters.map((character, byte) => [character, byte]),
);

function characters(): string[] {
  let next = 0x100;
  return Array.from({ length: 256 }, (_, byte) =>
    String.fromCharCode(isPrintable(byte) ? byte : next++),
  );
}

function isPrintable(byte: number): boolean {
  return (byte >= 0x21 && byte <= 0x7e) || (byte >= 0xa1 && byte <= 0xff && byte !== 0xad);
}
