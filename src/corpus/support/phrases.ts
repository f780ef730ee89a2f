/**
 * Every sentence a support reply is made of, by what it does. The reply writer picks from it and the gold
 * reward reads replies back with it, so the two cannot drift apart.
 */
import { type Remedy, remedies } from "../types.ts";

export type Tone = "polite" | "curt" | "rude";
type Role = "greeting" | "acknowledgement" | "remedy" | "filler" | "closing";

/** One sentence with slots {name}, {order} and {product}. */
export interface Phrase {
  readonly role: Role;
  readonly text: string;
  /** null: fits any tone. */
  readonly tone: Tone | null;
  /** Set for the role "remedy" only. */
  readonly remedy: Remedy | null;
}

/** All end in a comma or a colon: the acknowledgement goes on in lower case. */
export const greetings: Readonly<Record<Tone, readonly string[]>> = {
  polite: ["Hi {name},", "Hello {name},", "Dear {name},", "Good morning {name},"],
  curt: ["{name}:", "To {name}:", "{name},"],
  rude: ["Listen, {name},", "Look, {name},", "Oh no, {name},"],
};

export const acknowledgements: Readonly<Record<Tone, readonly string[]>> = {
  polite: [
    "thank you for writing to us about the {product} in order #{order}.",
    "thank you for your message about order #{order} and the {product}.",
    "I am happy to help with the {product} from order #{order}.",
    "I have checked order #{order} with the {product} for you.",
    "I understand, and I am glad to help with order #{order} for the {product}.",
    "I have found your {product} in order #{order}.",
  ],
  curt: [
    "order #{order}, {product}.",
    "this is about the {product}, order #{order}.",
    "I checked order #{order}, {product}.",
  ],
  rude: [
    "all this fuss about the {product} in order #{order}.",
    "I had to look up order #{order} just for your {product}.",
    "the {product} in order #{order} has cost me enough time.",
    "such a scene over the {product} in order #{order}.",
  ],
};

export const remedyPhrases: Readonly<Record<Remedy, readonly string[]>> = {
  replacement: [
    "A new {product} ships to you today, free of charge.",
    "We are sending you a free replacement today.",
    "You will receive a new {product} within three days, at no cost.",
    "I have booked a free replacement, and it leaves our warehouse today.",
  ],
  reship: [
    "The first parcel is lost, so we are sending it again by express.",
    "Your parcel went missing, so a second one ships today.",
    "I have sent the parcel again, and it will arrive within two days.",
    "The courier lost the parcel, so we ship the {product} once more.",
  ],
  tracking: [
    "Your parcel is on its way, and I have sent you the tracking link.",
    "Delivery takes up to ten days, so please follow the tracking link in your inbox.",
    "The {product} is still in transit, and the tracking link is in your inbox.",
    "The parcel is on the road, and you can follow it with the tracking link.",
  ],
  exchange: [
    "We will swap it for the right colour and collect the wrong one.",
    "The right colour ships today, and our courier picks up the wrong one.",
    "I have arranged an exchange for the right colour.",
    "Your {product} in the right colour is coming in exchange for the wrong one.",
  ],
  refund: [
    "We have refunded the second payment to your card.",
    "The extra charge goes back to your card within three days.",
    "I have refunded the double payment for the {product}.",
    "You will get the second payment back this week.",
  ],
  label: [
    "You are within 30 days, so I have sent you a return label.",
    "A free return label for the {product} is in your inbox.",
    "Please send it back with the return label in your inbox.",
    "The return is approved, and the label is in your inbox.",
  ],
  decline: [
    "Returns close after 30 days, so we cannot take it back.",
    "The 30 days are over, so a return is no longer possible.",
    "We accept returns within 30 days only, so I cannot take the {product} back.",
    "Your return comes after the 30 days, so I have to decline it.",
  ],
  part: [
    "The missing part ships to you today, free of charge.",
    "We are mailing you the missing part for the {product} today.",
    "I have packed the missing part, and it will arrive within three days.",
    "You will receive the missing part this week, at no cost.",
  ],
  cancel: [
    "The order is cancelled, and you will not be charged.",
    "I have cancelled the {product}, so nothing will be charged.",
    "I have stopped the order before dispatch, and you pay nothing.",
    "Your order is now cancelled, and no money will be taken.",
  ],
};

export const fillers: readonly string[] = [
  "Our company has grown a lot over the years.",
  "The weather here has been lovely this week.",
  "Our team likes a cup of tea in the morning.",
  "We opened a second office last spring.",
  "Our new catalogue has more than four hundred pages.",
  "As we like to say, every parcel tells a story.",
  "Our founder once sold umbrellas at the market.",
  "There are so many things to think about these days.",
  "Many people ask us how our warehouse works.",
  "We also have a newsletter that comes out on Fridays.",
];

export const closings: Readonly<Record<Tone, readonly string[]>> = {
  polite: [
    "Thank you for your patience.",
    "Please write again if you need anything else.",
    "Have a lovely day!",
    "Thank you for shopping with us.",
    "I am here if you have more questions.",
    "We wish you a pleasant week.",
  ],
  curt: ["Done.", "That is all.", "Case closed."],
  rude: [
    "Next time, check before you complain.",
    "Do not bother us again.",
    "Other people manage without such drama.",
    "I have better things to do.",
  ],
};

export const phrases: readonly Phrase[] = [
  ...byTone("greeting", greetings),
  ...byTone("acknowledgement", acknowledgements),
  ...remedies.flatMap((remedy) =>
    remedyPhrases[remedy].map((text) => ({ role: "remedy" as const, text, tone: null, remedy })),
  ),
  ...fillers.map((text) => ({ role: "filler" as const, text, tone: null, remedy: null })),
  ...byTone("closing", closings),
];

function byTone(role: Role, table: Readonly<Record<Tone, readonly string[]>>): Phrase[] {
  const tones: readonly Tone[] = ["polite", "curt", "rude"];
  return tones.flatMap((tone) => table[tone].map((text) => ({ role, text, tone, remedy: null })));
}
