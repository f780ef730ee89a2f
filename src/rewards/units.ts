/**
 * Units of measurement by the names that answers give them, and what each is in its dimension's base unit.
 * Factors are exact by definition: SI brochure, 9th edition; yard and pound agreement of 1959; US liquid gallon;
 * thermochemical calorie. Months and years have no fixed length and are not known.
 */

export interface Unit {
  /** Units of one dimension convert into each other. */
  readonly dimension: string;
  /** value · factor + offset is in the base unit. */
  readonly factor: number;
  readonly offset: number;
}

/** dimension → [factor, symbols (case counts), words (it does not)][] */
type Rows = readonly (readonly [number, string, string?])[];

const dimensions: Readonly<Record<string, Rows>> = {
  length: [
    [1, "m", "metre metres meter meters"],
    [1e3, "km", "kilometre kilometres kilometer kilometers"],
    [1e-1, "dm", "decimetre decimetres decimeter decimeters"],
    [1e-2, "cm", "centimetre centimetres centimeter centimeters"],
    [1e-3, "mm", "millimetre millimetres millimeter millimeters"],
    [1e-6, "µm μm um", "micrometre micrometres micrometer micrometers"],
    [1e-9, "nm", "nanometre nanometres nanometer nanometers"],
    [0.0254, "in", "inch inches"],
    [0.3048, "ft", "foot feet"],
    [0.9144, "yd", "yard yards"],
    [1609.344, "mi", "mile miles"],
  ],
  area: [
    [1, "m² m^2", "square-metres square-metre square-meters square-meter"],
    [1e6, "km² km^2", "square-kilometres square-kilometre square-kilometers square-kilometer"],
    [1e-4, "cm² cm^2", "square-centimetres square-centimetre square-centimeters square-centimeter"],
    [1e-6, "mm² mm^2", "square-millimetres square-millimetre square-millimeters square-millimeter"],
    [1e4, "ha", "hectare hectares"],
    [0.3048 ** 2, "ft² ft^2", "square-feet square-foot"],
    [0.0254 ** 2, "in² in^2", "square-inches square-inch"],
    [4046.8564224, "", "acre acres"],
  ],
  volume: [
    [1, "m³ m^3", "cubic-metres cubic-metre cubic-meters cubic-meter"],
    [1e-6, "cm³ cm^3", "cubic-centimetres cubic-centimetre cubic-centimeters cubic-centimeter"],
    [1e-3, "l L dm³ dm^3", "litre litres liter liters"],
    [1e-4, "dl dL", "decilitre decilitres deciliter deciliters"],
    [1e-5, "cl cL", "centilitre centilitres centiliter centiliters"],
    [1e-6, "ml mL", "millilitre millilitres milliliter milliliters"],
    [3.785411784e-3, "gal", "gallon gallons"],
  ],
  mass: [
    [1, "kg", "kilogram kilograms kilogramme kilogrammes"],
    [1e-3, "g", "gram grams gramme grammes"],
    [1e-6, "mg", "milligram milligrams"],
    [1e-9, "µg μg ug", "microgram micrograms"],
    [1e3, "t", "tonne tonnes"],
    [0.45359237, "lb lbs", "pound pounds"],
    [0.028349523125, "oz", "ounce ounces"],
  ],
  time: [
    [1, "s", "second seconds sec secs"],
    [1e-3, "ms", "millisecond milliseconds"],
    [1e-6, "µs μs us", "microsecond microseconds"],
    [1e-9, "ns", "nanosecond nanoseconds"],
    [60, "min", "minute minutes mins"],
    [3600, "h", "hour hours hr hrs"],
    [86_400, "d", "day days"],
    [604_800, "", "week weeks"],
  ],
  speed: [
    [1, "m/s", "metres-per-second meters-per-second"],
    [1 / 3.6, "km/h", "kilometres-per-hour kilometers-per-hour kmh kph"],
    [0.44704, "mi/h", "mph miles-per-hour"],
  ],
  frequency: [
    [1, "Hz", "hertz"],
    [1e3, "kHz", "kilohertz"],
    [1e6, "MHz", "megahertz"],
    [1e9, "GHz", "gigahertz"],
  ],
  force: [
    [1, "N", "newton newtons"],
    [1e3, "kN", "kilonewton kilonewtons"],
  ],
  energy: [
    [1, "J", "joule joules"],
    [1e3, "kJ", "kilojoule kilojoules"],
    [1e6, "MJ", "megajoule megajoules"],
    [4.184, "cal", "calorie calories"],
    [4184, "kcal", "kilocalorie kilocalories"],
    [3600, "Wh", "watt-hour watt-hours"],
    [3.6e6, "kWh", "kilowatt-hour kilowatt-hours"],
  ],
  power: [
    [1, "W", "watt watts"],
    [1e3, "kW", "kilowatt kilowatts"],
    [1e6, "MW", "megawatt megawatts"],
  ],
  pressure: [
    [1, "Pa", "pascal pascals"],
    [100, "hPa", "hectopascal hectopascals"],
    [1e3, "kPa", "kilopascal kilopascals"],
    [1e5, "bar", "bars"],
    [101_325, "atm", "atmosphere atmospheres"],
  ],
  charge: [[1, "C", "coulomb coulombs"]],
  current: [
    [1, "A", "ampere amperes amp amps"],
    [1e-3, "mA", "milliampere milliamperes"],
  ],
  voltage: [
    [1, "V", "volt volts"],
    [1e3, "kV", "kilovolt kilovolts"],
  ],
  resistance: [
    [1, "Ω", "ohm ohms"],
    [1e3, "kΩ", "kilohm kilohms"],
  ],
  data: [
    [1, "B", "byte bytes"],
    [0.125, "b", "bit bits"],
    [1e3, "kB", "kilobyte kilobytes"],
    [1e6, "MB", "megabyte megabytes"],
    [1e9, "GB", "gigabyte gigabytes"],
    [1e12, "TB", "terabyte terabytes"],
    [1024, "KiB", "kibibyte kibibytes"],
    [1024 ** 2, "MiB", "mebibyte mebibytes"],
    [1024 ** 3, "GiB", "gibibyte gibibytes"],
  ],
  angle: [
    [1, "rad", "radian radians"],
    [Math.PI / 180, "°", "degree degrees deg"],
  ],
  dollar: [[1, "$ USD", "dollar dollars"]],
  cent: [[1, "¢", "cent cents"]],
  euro: [[1, "€ EUR", "euro euros"]],
  sterling: [[1, "£ GBP"]],
  yen: [[1, "¥ JPY", "yen"]],
  percent: [[1, "%", "percent per-cent"]],
};

/** To kelvin, the only unit of temperature whose zero is zero. */
const temperatures: readonly (readonly [
  factor: number,
  offset: number,
  symbols: string,
  words: string,
])[] = [
  [1, 0, "K", "kelvin kelvins"],
  [1, 273.15, "°C", "celsius degrees-celsius degree-celsius"],
  [5 / 9, 273.15 - 32 * (5 / 9), "°F", "fahrenheit degrees-fahrenheit degree-fahrenheit"],
];

const names = (list: string) =>
  list
    .split(" ")
    .filter(Boolean)
    .map((name) => name.replaceAll("-", " "));

function* named(): Generator<[name: string, unit: Unit, isSymbol: boolean]> {
  for (const [dimension, rows] of Object.entries(dimensions)) {
    for (const [factor, symbols, words = ""] of rows) {
      for (const name of names(symbols)) yield [name, { dimension, factor, offset: 0 }, true];
      for (const name of names(words)) yield [name, { dimension, factor, offset: 0 }, false];
    }
  }
  for (const [factor, offset, symbols, words] of temperatures) {
    for (const name of names(symbols))
      yield [name, { dimension: "temperature", factor, offset }, true];
    for (const name of names(words))
      yield [name, { dimension: "temperature", factor, offset }, false];
  }
}

const all = [...named()];
const bySymbol: ReadonlyMap<string, Unit> = new Map(
  all.flatMap(([name, unit, isSymbol]) => (isSymbol ? [[name, unit] as const] : [])),
);
const byWord: ReadonlyMap<string, Unit> = new Map(
  all.flatMap(([name, unit, isSymbol]) => (isSymbol ? [] : [[name, unit] as const])),
);
const nameLengthMax = Math.max(...all.map(([name]) => name.length));

/**
 * The unit whose name a text begins with, the longest that fits and ends where the word ends; null when there is
 * none. Symbols are read as they are written ("MW" is not "mW"), words without regard to case.
 */
export function unitAtStart(text: string): Unit | null {
  for (let length = Math.min(nameLengthMax, text.length); length > 0; length--) {
    if (/^[\p{L}\p{N}²³^/]/u.test(text.slice(length))) continue;
    const name = text.slice(0, length);
    const unit = unitNamed(name);
    if (unit) return unit;
  }
  return null;
}

/** The unit of exactly that name. */
export const unitNamed = (name: string): Unit | null =>
  bySymbol.get(name) ?? byWord.get(name.toLowerCase()) ?? null;

/** The same quantity in another unit of its dimension. */
export const converted = (value: number, from: Unit, to: Unit): number =>
  from === to ? value : (value * from.factor + from.offset - to.offset) / to.factor;
