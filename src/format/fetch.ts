// Bytes of a file of ours: from the browser's cache, the network or a disk, with progress, and checked against its hash.
import { sha256 as hash256 } from '@noble/hashes/sha2.js';
import { bytesToHex } from '@noble/hashes/utils.js';
import { Problem } from '../problem.ts';

export type FileRef = { readonly path: string; readonly sizeBytes: number; readonly sha256: string };

/** Where the bytes at a URL come from: the network, unless somebody gives another way, as from a disk. */
export type Get = (url: URL, init: { readonly signal?: AbortSignal }) => Promise<Response>;
const fromNetwork: Get = (url, init) => fetch(url, init);

const CACHE = 'normscope-models-1';

/** The store of files already fetched; absent outside browsers and where storage is forbidden. */
async function openCache(): Promise<Cache | undefined> {
  try {
    return await globalThis.caches?.open(CACHE);
  } catch {
    return undefined;
  }
}

/** SHA-256 in hexadecimal. The browser's own is only there on secure pages; this one is everywhere. */
export const sha256 = (bytes: Uint8Array): string => bytesToHex(hash256(bytes));

/** The response at `url`. Throws Problem `network` that tells a refused connection from a missing file. */
export async function fetchResponse(
  url: URL,
  signal?: AbortSignal,
  get: Get = fromNetwork,
): Promise<Response> {
  let response: Response;
  try {
    response = await get(url, signal ? { signal } : {});
  } catch (cause) {
    if (signal?.aborted || cause instanceof Problem) throw cause;
    const why = cause instanceof Error ? cause.message : String(cause);
    throw new Problem(
      'network',
      `Cannot fetch "${url.pathname}": ${why}`,
      'Check the connection and press Run again.',
    );
  }
  if (!response.ok) {
    throw new Problem(
      'network',
      `Cannot fetch "${url.pathname}": the server answered ${response.status} ${response.statusText}`.trim(),
      'The server this page came from lacks the file: deploy the whole dist folder.',
    );
  }
  return response;
}

async function readAll(response: Response, onBytes: (loadedBytes: number) => void): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let loadedBytes = 0;
  const reader = response.body?.getReader();
  for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
    chunks.push(part.value);
    loadedBytes += part.value.byteLength;
    onBytes(loadedBytes);
  }
  const bytes = new Uint8Array(loadedBytes);
  let at = 0;
  for (const chunk of chunks) {
    bytes.set(chunk, at);
    at += chunk.byteLength;
  }
  return bytes;
}

/** The file under `base`, whole and with the right hash, or Problem `network` or `bad-file`. Good files are kept. */
export async function fetchFile(
  base: URL,
  file: FileRef,
  {
    onBytes = () => undefined,
    signal,
    explain = () => '',
    get,
  }: {
    readonly onBytes?: (loadedBytes: number) => void;
    readonly signal?: AbortSignal | undefined;
    /** What else is wrong with bytes of the wrong hash, for the message. */
    readonly explain?: (bytes: Uint8Array) => string;
    readonly get?: Get | undefined;
  } = {},
): Promise<Uint8Array> {
  const url = new URL(file.path, base);
  const key = `${url.href}?sha256=${file.sha256}`;
  const cache = await openCache();
  const kept = await cache?.match(key);
  if (kept) {
    const bytes = new Uint8Array(await kept.arrayBuffer());
    if (sha256(bytes) === file.sha256) {
      onBytes(bytes.byteLength);
      return bytes;
    }
    await cache?.delete(key); // damaged on disk
  }
  const bytes = await readAll(await fetchResponse(url, signal, get), onBytes);
  const hash = sha256(bytes);
  if (hash !== file.sha256) {
    const size =
      bytes.byteLength === file.sizeBytes
        ? ''
        : `, and it has ${bytes.byteLength} bytes where ${file.sizeBytes} belong`;
    throw new Problem(
      'bad-file',
      `Cannot use "${file.path}": its SHA-256 is ${hash.slice(0, 12)}… and should be ${file.sha256.slice(0, 12)}…${size}${explain(bytes)}`,
      'The download was cut short or the file on the server was changed. Press Run to fetch it again; if it persists, deploy the file anew.',
    );
  }
  await cache?.put(key, new Response(new Uint8Array(bytes).buffer)).catch(() => undefined); // a full disk only costs the cache
  return bytes;
}
