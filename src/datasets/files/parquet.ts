/** Parquet files, as Hugging Face's datasets are published: read a group of rows at a time. */
import { type FileHandle, open } from "node:fs/promises";
import { brotliDecompressSync, gunzipSync } from "node:zlib";
import {
  type AsyncBuffer,
  type Compressors,
  parquetMetadataAsync,
  parquetReadObjects,
} from "hyparquet";
import { GatewayError } from "../../base/errors.ts";
import type { RawRow } from "./raw-row.ts";
import { unreadable } from "./text.ts";

/** Snappy is the library's own; zstd is not in this Node. */
const compressors: Compressors = {
  GZIP: (input) => gunzipSync(input),
  BROTLI: (input) => brotliDecompressSync(input),
};

/** The line of a row is its number, from 1. @throws GatewayError dataset_unusable */
export async function* readParquet(path: string): AsyncGenerator<RawRow> {
  const handle = await open(path).catch((cause: unknown) => {
    throw unreadable(path, cause);
  });
  try {
    yield* rowsOf(path, await bufferOf(handle));
  } finally {
    await handle.close();
  }
}

async function* rowsOf(path: string, file: AsyncBuffer): AsyncGenerator<RawRow> {
  // What the library throws is about the file: it is not Parquet, is cut short, or compressed in another way.
  const reading = <T>(promise: Promise<T>) =>
    promise.catch((cause: unknown) => {
      throw String(cause).includes("unsupported compression")
        ? compressed(path, cause)
        : unreadable(path, cause);
    });
  const metadata = await reading(parquetMetadataAsync(file));
  let rowStart = 0;
  for (const { num_rows: rows } of metadata.row_groups) {
    const rowEnd = rowStart + Number(rows);
    const options = { file, metadata, rowStart, rowEnd, compressors };
    const objects = await reading(parquetReadObjects(options));
    for (const [i, fields] of objects.entries()) {
      yield { place: { file: path, line: rowStart + i + 1 }, fields };
    }
    rowStart = rowEnd;
  }
}

function compressed(file: string, cause: unknown): GatewayError {
  const problem = `it is compressed in a way that is not read here (${String(cause)})`;
  const remedy = "Write it with snappy, gzip or brotli.";
  return new GatewayError("dataset_unusable", { file, problem, remedy }, { cause });
}

async function bufferOf(handle: FileHandle): Promise<AsyncBuffer> {
  const { size } = await handle.stat();
  return {
    byteLength: size,
    slice: async (start, end = size) => {
      const bytes = new Uint8Array(end - start);
      for (let filled = 0; filled < bytes.length; ) {
        const { bytesRead } = await handle.read(
          bytes,
          filled,
          bytes.length - filled,
          start + filled,
        );
        if (bytesRead === 0) break;
        filled += bytesRead;
      }
      return bytes.buffer;
    },
  };
}
