/**
 * A disk in memory with a page cache: what is not flushed, a power cut may keep, lose or tear, sector by sector and in
 * any order. Faults are injected per operation; as on Linux, a failed flush forgets the pages it could not write.
 */
import type { LogFile, LogFiles } from "../../src/store/files.ts";

export type DiskOperation = "create" | "write" | "truncate" | "sync" | "syncFolder" | "remove";

/** What happens instead of the operation: an error code, or a write that takes fewer bytes. */
export type Fault = { code: string } | { takes: number } | null;

type Change = { offset: number; bytes: Buffer } | { size: number };

interface Node {
  /** As programs see it. */
  cached: Buffer;
  durable: Buffer;
  /** Changes since the last flush, oldest first. */
  pending: Change[];
}

const sectorBytes = 32;

export class FaultyDisk implements LogFiles {
  fault: (operation: DiskOperation, path: string) => Fault = () => null;
  /** Called before each flush, to hold it back. */
  beforeSync: () => Promise<void> = async () => {};
  readonly #entries: Map<string, Node>;
  #durableEntries: Map<string, Node>;

  constructor(entries: Map<string, Node> = new Map()) {
    this.#entries = new Map(entries);
    this.#durableEntries = new Map(entries);
  }

  /** The disk after a power cut, as a machine finds it that starts again. @param keep decides sector by sector. */
  afterPowerCut(keep: () => boolean): FaultyDisk {
    const entries = new Map<string, Node>();
    for (const path of new Set([...this.#durableEntries.keys(), ...this.#entries.keys()])) {
      const durable = this.#durableEntries.get(path);
      const cached = this.#entries.get(path);
      const node = durable === cached || keep() ? durable : cached;
      if (node === undefined) continue;
      const kept = node.pending.flatMap(sectors).filter(keep);
      const bytes = kept.reduce(apply, node.durable);
      entries.set(path, { cached: bytes, durable: bytes, pending: [] });
    }
    return new FaultyDisk(entries);
  }

  /** The disk after its process was killed: all that was written is there, flushed or not. */
  afterKill(): FaultyDisk {
    const copies = new Map<Node, Node>();
    const copy = (node: Node): Node => {
      const known = copies.get(node) ?? { ...node, pending: [...node.pending] };
      copies.set(node, known);
      return known;
    };
    const map = (entries: Map<string, Node>) =>
      new Map([...entries].map(([path, node]) => [path, copy(node)] as const));
    const disk = new FaultyDisk(map(this.#entries));
    disk.#durableEntries = map(this.#durableEntries);
    return disk;
  }

  /** The content of a file as programs see it, to damage it by hand. */
  content(path: string): Buffer {
    return this.#node(path).cached;
  }

  paths(): string[] {
    return [...this.#entries.keys()].sort();
  }

  async makeFolder(): Promise<void> {}

  async list(folder: string): Promise<string[]> {
    return this.paths().map((path) => path.slice(folder.length + 1));
  }

  async size(path: string): Promise<number> {
    return this.#node(path).cached.length;
  }

  async create(path: string): Promise<LogFile> {
    this.#check("create", path);
    const empty = Buffer.alloc(0);
    const known = this.#entries.get(path);
    if (known) {
      known.cached = empty;
      known.pending.push({ size: 0 });
    } else {
      this.#entries.set(path, { cached: empty, durable: empty, pending: [] });
    }
    return this.#handle(path);
  }

  async reopen(path: string): Promise<LogFile> {
    return this.#handle(path);
  }

  async read(path: string, offset: number, length: number): Promise<Buffer> {
    return Buffer.from(this.#node(path).cached.subarray(offset, offset + length));
  }

  async remove(path: string): Promise<void> {
    this.#check("remove", path);
    this.#entries.delete(path);
  }

  async syncFolder(path: string): Promise<void> {
    this.#check("syncFolder", path);
    this.#durableEntries = new Map(this.#entries);
  }

  #handle(path: string): LogFile {
    const node = this.#node(path);
    return {
      write: async (bytes, offset) => {
        const fault = this.fault("write", path);
        if (fault && "code" in fault) throw errno(fault.code);
        const taken = Buffer.from(bytes.subarray(0, fault?.takes ?? bytes.length));
        change(node, { offset, bytes: taken });
        return taken.length;
      },
      truncate: async (size) => {
        this.#check("truncate", path);
        change(node, { size });
      },
      sync: async () => {
        await this.beforeSync();
        const flushed = node.pending;
        node.pending = [];
        this.#check("sync", path);
        node.durable = flushed.reduce(apply, node.durable);
      },
      close: async () => {},
    };
  }

  #check(operation: DiskOperation, path: string): void {
    const fault = this.fault(operation, path);
    if (fault && "code" in fault) throw errno(fault.code);
  }

  #node(path: string): Node {
    const node = this.#entries.get(path);
    if (!node) throw errno("ENOENT");
    return node;
  }
}

function change(node: Node, made: Change): void {
  node.cached = apply(node.cached, made);
  node.pending.push(made);
}

function apply(content: Buffer, made: Change): Buffer {
  const size =
    "size" in made ? made.size : Math.max(content.length, made.offset + made.bytes.length);
  const changed = Buffer.alloc(size); // a gap reads as zeros, as in a sparse file
  content.copy(changed, 0, 0, size);
  if ("bytes" in made) made.bytes.copy(changed, made.offset);
  return changed;
}

function sectors(made: Change): Change[] {
  if ("size" in made) return [made];
  const { offset, bytes } = made;
  const count = Math.ceil(bytes.length / sectorBytes);
  return Array.from({ length: count }, (_, i) => ({
    offset: offset + i * sectorBytes,
    bytes: bytes.subarray(i * sectorBytes, (i + 1) * sectorBytes),
  }));
}

function errno(code: string): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: injected`), { code });
}
