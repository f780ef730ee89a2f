/** First names of customers and of the people in word problems. */

export const women = [
  "Alice", "Amara", "Anna", "Bella", "Chloe", "Clara", "Diana", "Elena", "Emma", "Grace", "Hana",
  "Ivy", "Julia", "Lena", "Lily", "Maria", "Mia", "Nina", "Nora", "Olivia", "Priya", "Rosa", "Sara",
  "Zoe",
] as const; // biome-ignore format: a table

export const men = [
  "Adam",
  "Amir",
  "Ben",
  "Carlos",
  "Daniel",
  "David",
  "Felix",
  "George",
  "Hugo",
  "Ivan",
  "Jack",
  "James",
  "Kenji",
  "Leo",
  "Liam",
  "Lucas",
  "Marco",
  "Noah",
  "Omar",
  "Oscar",
  "Paul",
  "Ravi",
  "Sam",
  "Tom",
] as const;

export const names: readonly string[] = [...women, ...men];
