/** The generated corpus of the embedded models: prompts, replies, an exact gold reward, preference pairs. */
export { type SftExample, sftExamples } from "./examples.ts";
export { bestGold, goldReward } from "./gold.ts";
export { careless, flawless, sftMixture } from "./mixtures.ts";
export {
  heldoutPairs,
  type LabelNoise,
  labelPair,
  noNoise,
  type PreferenceGroup,
  type PreferencePair,
  preferenceGroups,
  preferencePairs,
} from "./pairs.ts";
export { type Claim, claimsOf } from "./pieces.ts";
export { makePrompt, makeReply, prompts } from "./prompts.ts";
export { split } from "./split.ts";
export * from "./types.ts";
