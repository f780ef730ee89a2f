/** What the shop sells: singular nouns that take "my", "the" and "a new"; some have a part to go missing. */

const partOf: Readonly<Record<string, string>> = {
  kettle: "lid",
  teapot: "lid",
  blender: "jug",
  toaster: "crumb tray",
  "coffee grinder": "handle",
  "frying pan": "handle",
  "water bottle": "cap",
  "lunch box": "lid",
  "desk lamp": "bulb",
  "night light": "plug",
  "office chair": "armrest",
  bookshelf: "top shelf",
  "wall mirror": "hook",
  "alarm clock": "battery cover",
  "photo frame": "stand",
  "table fan": "base",
  "hair dryer": "nozzle",
  "vacuum cleaner": "hose",
  "garden hose": "nozzle",
  "camping stove": "burner",
  "bike helmet": "chin strap",
  "board game": "dice set",
  keyboard: "cable",
  headset: "microphone",
  speaker: "power cable",
};

export const productsWithParts: readonly string[] = Object.keys(partOf);

/** These tear; all others break. */
export const softProducts: readonly string[] = [
  "backpack",
  "rain jacket",
  "yoga mat",
  "wool scarf",
  "picnic blanket",
  "travel pillow",
  "beach towel",
  "sleeping bag",
  "floor rug",
  "cushion",
  "sun hat",
];

export const products: readonly string[] = [
  ...productsWithParts,
  ...softProducts,
  "phone case",
  "toolbox",
  "laptop stand",
  "umbrella",
  "suitcase",
  "flower vase",
  "plant pot",
];

export const colours: readonly string[] = [
  "black",
  "white",
  "red",
  "blue",
  "green",
  "grey",
  "yellow",
  "brown",
];

export function partName(product: string): string | undefined {
  return partOf[product];
}
