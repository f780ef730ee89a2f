/** First names of customers and of the people in word problems. */

export const women: readonly string[] = list(`
  Alice Amara Anna Bella Chloe Clara Diana Elena Emma Grace Hana Ivy Julia Lena Lily Maria Mia Nina
  Nora Olivia Priya Rosa Sara Zoe`);

export const men: readonly string[] = list(`
  Adam Amir Ben Carlos Daniel David Felix George Hugo Ivan Jack James Kenji Leo Liam Lucas Marco Noah
  Omar Oscar Paul Ravi Sam Tom`);

export const names: readonly string[] = [...women, ...men];

function list(words: string): readonly string[] {
  return words.trim().split(/\s+/);
}
