/**
 * The word problems. `{a}` … `{d}` are numbers, `{items}` is drawn from the list, `{name}` and `{other}` are
 * people, `{She}` and `{she}` follow the first person. A step is `label: left operation right` over the
 * numbers' letters and the results `#1`, `#2` of earlier steps; the last result is the answer.
 */
export interface ProblemTemplate {
  readonly text: string;
  readonly items: readonly string[];
  readonly steps: readonly string[];
  /** Letters of numbers that would sound odd above 9. Factors are small anyway. */
  readonly small?: readonly string[];
}

export const templates: readonly ProblemTemplate[] = [
  {
    text: "{name} has {a} boxes with {b} {items} in each. {She} gives {c} {items} to a friend. How many {items} are left?",
    items: ["pencils", "marbles", "stickers", "shells"],
    steps: ["In the boxes: a * b", "Left: #1 - c"],
  },
  {
    text: "{name} buys {a} packs of {b} {items} and already has {c} {items} at home. How many {items} does {name} have now?",
    items: ["cards", "pens", "candles", "batteries"],
    steps: ["In the packs: a * b", "In all: #1 + c"],
  },
  {
    text: "{name} has {c} dollars and buys {a} {items} for {b} dollars each. How many dollars are left?",
    items: ["tickets", "books", "plants", "notebooks"],
    steps: ["Spent: a * b", "Left: c - #1"],
  },
  {
    text: "There are {a} {items} on one shelf and {b} {items} on another. Then {c} {items} are sold. How many {items} remain?",
    items: ["books", "jars", "toys", "lamps"],
    steps: ["On both: a + b", "Left: #1 - c"],
  },
  {
    text: "A bus carries {a} {items}. At the first stop {b} get off and {c} get on. At the next stop {d} get on. How many {items} are on the bus?",
    items: ["people", "children", "students"],
    steps: ["After leaving: a - b", "First stop: #1 + c", "In all: #2 + d"],
  },
  {
    text: "{name} earns {a} dollars an hour and works for {b} hours. {She} spends {c} dollars on {items}. How many dollars does {she} keep?",
    items: ["lunch", "shoes", "music", "paint"],
    steps: ["Earned: a * b", "Left: #1 - c"],
  },
  {
    text: "{name} bakes {a} trays of {b} {items}. {She} sells {c} {items} and eats {d}. How many {items} are left?",
    items: ["muffins", "cookies", "rolls", "pies"],
    steps: ["Baked: a * b", "After selling: #1 - c", "Left: #2 - d"],
    small: ["d"],
  },
  {
    text: "A garden has {a} rows of {b} {items} and {c} rows of {d} roses. How many flowers are there?",
    items: ["tulips", "lilies", "daisies", "violets"],
    steps: ["First kind: a * b", "Roses: c * d", "In all: #1 + #2"],
  },
  {
    text: "{name} has {a} {items}. {other} has {b} times as many. How many {items} do they have together?",
    items: ["coins", "stamps", "marbles", "badges"],
    steps: ["The friend: a * b", "In all: #1 + a"],
  },
  {
    text: "{name} reads {a} pages on {items}. The next day {she} reads {b} pages more than that. How many pages does {she} read on both days?",
    items: ["Monday", "Tuesday", "Friday", "Sunday"],
    steps: ["Next day: a + b", "In all: #1 + a"],
  },
  {
    text: "{name} saves {a} dollars a week for {b} weeks. Then {she} gets {c} dollars as a gift and spends {d} dollars on {items}. How many dollars does {she} have?",
    items: ["a game", "a ball", "a hat", "a poster"],
    steps: ["Saved: a * b", "With the gift: #1 + c", "Left: #2 - d"],
  },
  {
    text: "A car park has {a} rows with {b} {items} in each. {c} {items} leave and {d} {items} arrive. How many {items} are there now?",
    items: ["cars", "vans"],
    steps: ["In the rows: a * b", "After leaving: #1 - c", "In all: #2 + d"],
  },
  {
    text: "{name} scores {a} points in a {items} game, loses {b} points and then wins {c} points. What is the final score?",
    items: ["card", "dice", "word", "quiz"],
    steps: ["After losing: a - b", "In all: #1 + c"],
  },
  {
    text: "{name} picks {a} {items} and {other} picks {b}. They use {c} of them for a cake. How many {items} are left?",
    items: ["apples", "pears", "plums", "cherries"],
    steps: ["Picked: a + b", "Left: #1 - c"],
  },
  {
    text: "A {items} has {a} tables with {b} chairs each and {c} more chairs by the wall. {d} chairs are broken. How many chairs are good?",
    items: ["school", "hall", "cafe", "club"],
    steps: ["At the tables: a * b", "In all: #1 + c", "Left: #2 - d"],
  },
  {
    text: "A tank holds {c} litres of water. A {items} uses {a} litres a day for {b} days. How many litres are left?",
    items: ["farm", "family", "garden", "kitchen"],
    steps: ["Used: a * b", "Left: c - #1"],
  },
  {
    text: "{name} has {c} metres of {items} and cuts {a} pieces of {b} metres each. How many metres are left?",
    items: ["ribbon", "rope", "wire", "cloth"],
    steps: ["Cut: a * b", "Left: c - #1"],
  },
  {
    text: "{a} players pay {b} dollars each. The team buys {items} for {c} dollars. How many dollars are left?",
    items: ["a net", "a ball", "a flag", "shirts"],
    steps: ["Paid: a * b", "Left: #1 - c"],
  },
  {
    text: "At the zoo {a} monkeys eat {b} {items} each and {c} bears eat {d} {items} each. How many {items} do they eat in all?",
    items: ["bananas", "carrots", "figs", "nuts"],
    steps: ["The monkeys: a * b", "The bears: c * d", "In all: #1 + #2"],
  },
  {
    text: "{name} walks {a} {items} in the morning and {b} {items} in the evening, on each of {c} days. How many {items} is that?",
    items: ["kilometres", "miles", "laps", "blocks"],
    steps: ["Each day: a + b", "In all: #1 * c"],
  },
];
