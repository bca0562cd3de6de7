// Files of a server, by ranges, straight from the browser: told apart are no network, a refusal to other pages' origins,
// a locked door and a missing file. A download that breaks off goes on from its last byte.
import { Problem } from '../problem.ts';
import { checkPath } from './source.ts';
import type { Source, SourceFile } from './source.ts';

/** What this machine gives: tests and commands bring their own. */
export type Web = {
  readonly fetch: typeof fetch;
  /** Of the page; null outside pages. */
  readonly origin: string | null;
  readonly isOnline: () => boolean;
  /** Before each new try of a transfer that broke off; as many tries as there are numbers. */
  readonly retryMs: readonly number[];
  /** A transfer that brings no byte for so long has broken off. */
  readonly stallMs: number;
};

export const WEB: Web = {
  fetch: (input, init) => fetch(input, init),
  origin: (globalThis as { location?: Location }).location?.origin ?? null,
  isOnline: () => (globalThis as { navigator?: Navigator }).navigator?.onLine ?? true,
  retryMs: [500, 1_000, 2_000, 4_000],
  stallMs: 60_000,
};

export type HttpOptions = {
  readonly label?: string;
  /** Known before any request, from a list that the server gave. */
  readonly files?: readonly SourceFile[];
  /** Of addresses that always give the same bytes, such as a commit's. */
  readonly fixedTag?: string;
  /** The server is known to answer pages of every origin, so that silence is the network's fault. */
  readonly isOpen?: boolean;
  readonly web?: Web;
};

/** A transfer that may be tried again; its cause is the Problem to show when trying again is over. */
class Interrupted extends Error {}

type Known = { sizeBytes?: number; tag?: string };

const reasonOf = (cause: unknown): string => {
  if (!(cause instanceof Error)) return String(cause);
  return cause.cause instanceof Error ? `${cause.message} (${cause.cause.message})` : cause.message;
};

const pause = (ms: number, signal?: AbortSignal): Promise<void> =>
  new Promise((resolve, reject) => {
    const stop = (): void => {
      clearTimeout(timer);
      reject(signal?.reason as Error);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener('abort', stop);
      resolve();
    }, ms);
    signal?.addEventListener('abort', stop, { once: true });
    if (signal?.aborted) stop();
  });

/** Problem for a request without any readable answer: no network, or a server that refuses this page. */
function silence(url: URL, cause: unknown, web: Web, isOpen: boolean): Problem {
  const what = `Cannot fetch "${url.href}"`;
  if (!web.isOnline()) {
    return new Problem('network', `${what}: this machine is offline`, 'Connect it and try again.', cause);
  }
  if (web.origin === null || web.origin === url.origin || isOpen) {
    return new Problem(
      'network',
      `${what}: ${reasonOf(cause)}`,
      `Check the connection, and that nothing (a firewall, an ad blocker) blocks ${url.host}; then try again.`,
      cause,
    );
  }
  return new Problem(
    'cross-origin',
    `${what}: ${url.host} gives no answer that a page of ${web.origin} may read`,
    'Most likely the server does not allow other origins (CORS); it may also be down. Allow this origin on the server, or download the files and drop the folder here.',
    cause,
  );
}

function refusal(url: URL, response: Response): Problem {
  const { status } = response;
  const code = response.headers.get('X-Error-Code');
  const message =
    `Cannot fetch "${url.href}": the server answered ${status} ${code ?? response.statusText}`.trim();
  if (status === 401 || status === 403) {
    return new Problem(
      'denied',
      message,
      code === 'GatedRepo'
        ? 'Its owner asks visitors to accept terms: accept them on the model’s page, download the files there and drop the folder here.'
        : 'It is private, gated or misspelt: check the address, or download the files where you are signed in and drop the folder here.',
    );
  }
  if (status === 404 || status === 410) {
    return new Problem(
      'not-found',
      message,
      'Check the address, the revision and the spelling; there may be no such file.',
    );
  }
  return new Problem('network', message, 'The server cannot answer now: try again later.');
}

/** Waits if it is worth another try; throws what was thrown, as a Problem, if not. */
async function beforeRetry(web: Web, thrown: unknown, tries: number, signal?: AbortSignal): Promise<void> {
  signal?.throwIfAborted();
  if (!(thrown instanceof Interrupted)) throw thrown;
  const waitMs = web.retryMs[tries];
  if (waitMs === undefined) throw thrown.cause;
  await pause(waitMs, signal);
}

/** The answer of `ask`, tried again while it is interrupted. */
async function insist<T>(web: Web, ask: () => Promise<T>, signal?: AbortSignal): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await ask();
    } catch (thrown) {
      await beforeRetry(web, thrown, tries, signal);
    }
  }
}

/** The server's answer, or the Problem it amounts to, wrapped as Interrupted where another try may help. */
async function answer(url: URL, init: RequestInit, web: Web, isOpen: boolean): Promise<Response> {
  let response: Response;
  try {
    response = await web.fetch(url, {
      ...init,
      cache: 'no-store', // what is worth keeping is kept by cache.ts
      credentials: web.origin === url.origin ? 'same-origin' : 'omit',
      referrerPolicy: 'no-referrer',
    });
  } catch (cause) {
    init.signal?.throwIfAborted();
    const problem = silence(url, cause, web, isOpen);
    if (problem.code === 'network') throw new Interrupted(problem.message, { cause: problem });
    throw problem;
  }
  if ([200, 206, 416].includes(response.status)) return response;
  await response.body?.cancel();
  const problem = refusal(url, response);
  if (problem.code === 'network') throw new Interrupted(problem.message, { cause: problem });
  throw problem;
}

/** A small answer, whole: of a server's interface, not of a file. */
export async function fetchSmall(
  url: URL,
  maxBytes: number,
  { web = WEB, isOpen = false, signal }: { web?: Web; isOpen?: boolean; signal?: AbortSignal } = {},
): Promise<Uint8Array> {
  const tooLong = (bytes: number): Problem =>
    new Problem(
      'network',
      `Cannot fetch "${url.href}": its answer of ${bytes} bytes and more is too long`,
      'Try another address.',
    );
  return insist(
    web,
    async () => {
      const response = await answer(url, signal ? { signal } : {}, web, isOpen);
      const chunks: Uint8Array[] = [];
      let bytes = 0;
      const reader = response.body?.getReader();
      for (let part = await reader?.read(); part?.value; part = await reader?.read()) {
        chunks.push(part.value);
        bytes += part.value.byteLength;
        if (bytes > maxBytes) {
          await reader?.cancel();
          throw tooLong(bytes);
        }
      }
      return new Uint8Array(await new Blob(chunks as BlobPart[]).arrayBuffer());
    },
    signal,
  );
}

class HttpSource implements Source {
  readonly label: string;
  readonly #base: URL;
  readonly #web: Web;
  readonly #options: HttpOptions;
  readonly #known = new Map<string, Known>();

  constructor(base: URL, options: HttpOptions) {
    this.#base = base;
    this.#options = options;
    this.#web = options.web ?? WEB;
    this.label = options.label ?? base.href;
    for (const { path, sizeBytes } of options.files ?? []) this.#known.set(path, { sizeBytes });
  }

  async list(): Promise<readonly SourceFile[] | null> {
    return this.#options.files ?? null;
  }

  async size(path: string, signal?: AbortSignal): Promise<number> {
    const known = this.#known.get(path)?.sizeBytes;
    if (known !== undefined) return known;
    const response = await insist(this.#web, () => this.#request(path, 0, 1, signal), signal);
    await response.body?.cancel();
    if (this.#known.get(path)?.sizeBytes === undefined) {
      // Content-Range may be hidden from pages of other origins; the length of a whole answer never is.
      const whole = await insist(this.#web, () => this.#request(path, 0, null, signal), signal);
      await whole.body?.cancel();
    }
    const sizeBytes = this.#known.get(path)?.sizeBytes;
    if (sizeBytes !== undefined) return sizeBytes;
    throw new Problem(
      'network',
      `Cannot fetch "${this.#url(path).href}": the server does not say how large it is`,
      'Download the files and drop the folder here.',
    );
  }

  async tag(path: string, signal?: AbortSignal): Promise<string | null> {
    if (this.#options.fixedTag !== undefined) return this.#options.fixedTag;
    if (!this.#known.has(path)) await this.size(path, signal);
    return this.#known.get(path)?.tag ?? null;
  }

  async read(path: string, begin: number, end: number, signal?: AbortSignal): Promise<Uint8Array> {
    const bytes = new Uint8Array(end - begin);
    let filled = 0;
    for await (const chunk of this.#range(path, begin, end, signal)) {
      bytes.set(chunk, filled);
      filled += chunk.byteLength;
    }
    return bytes;
  }

  async *stream(path: string, begin: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    yield* this.#range(path, begin, await this.size(path, signal), signal);
  }

  #url(path: string): URL {
    return new URL(checkPath(path, this.label).split('/').map(encodeURIComponent).join('/'), this.#base);
  }

  /** Bytes [begin, end), going on where a transfer broke off. */
  async *#range(path: string, begin: number, end: number, signal?: AbortSignal): AsyncGenerator<Uint8Array> {
    let at = begin;
    let tries = 0;
    while (at < end) {
      try {
        for await (const chunk of this.#transfer(path, at, end, signal)) {
          at += chunk.byteLength;
          tries = 0;
          yield chunk;
        }
      } catch (thrown) {
        await beforeRetry(this.#web, thrown, tries++, signal);
      }
    }
  }

  /** One transfer of bytes [begin, end); Interrupted when it ends too soon or stalls. */
  async *#transfer(
    path: string,
    begin: number,
    end: number,
    signal?: AbortSignal,
  ): AsyncGenerator<Uint8Array> {
    const stall = new AbortController();
    let timer = setTimeout(() => stall.abort(), this.#web.stallMs);
    const both = signal ? AbortSignal.any([signal, stall.signal]) : stall.signal;
    const interrupted = (why: string, cause?: unknown): Interrupted =>
      new Interrupted(why, {
        cause: new Problem(
          'network',
          `Cannot fetch "${this.#url(path).href}": ${why}`,
          'Check the connection and try again: what is there is kept, and it goes on from there.',
          cause,
        ),
      });
    let reader: ReadableStreamDefaultReader<Uint8Array> | undefined;
    try {
      const response = await this.#request(path, begin, end, both);
      // A server that knows no ranges sends everything: what was not asked for is let go by.
      let skip = response.status === 206 ? 0 : begin;
      let left = end - begin;
      reader = response.body?.getReader();
      while (left > 0) {
        const { value, done } = (await reader?.read()) ?? { value: undefined, done: true };
        if (done || !value) throw interrupted(`it broke off ${left} bytes too soon`);
        clearTimeout(timer);
        timer = setTimeout(() => stall.abort(), this.#web.stallMs);
        const skipped = Math.min(skip, value.byteLength);
        skip -= skipped;
        const chunk = value.subarray(skipped, skipped + left);
        left -= chunk.byteLength;
        if (chunk.byteLength > 0) yield chunk;
      }
    } catch (thrown) {
      signal?.throwIfAborted();
      if (stall.signal.aborted) throw interrupted(`no byte came for ${this.#web.stallMs / 1000} s`, thrown);
      if (thrown instanceof Problem || thrown instanceof Interrupted) throw thrown;
      throw interrupted(reasonOf(thrown), thrown);
    } finally {
      clearTimeout(timer);
      await reader?.cancel().catch(() => undefined);
    }
  }

  /** An answer for bytes [begin, end), for the head alone where `end` is null, checked against what is known. */
  async #request(path: string, begin: number, end: number | null, signal?: AbortSignal): Promise<Response> {
    const url = this.#url(path);
    const headers = new Headers(end === null ? {} : { Range: `bytes=${begin}-${end - 1}` });
    const tag = this.#known.get(path)?.tag;
    // If-Range would cost a preflight that few servers of other origins answer; there the tags are compared instead.
    const isOwn = this.#web.origin === null || this.#web.origin === url.origin;
    if (begin > 0 && tag?.startsWith('"') && isOwn) headers.set('If-Range', tag);
    const init = { headers, method: end === null ? 'HEAD' : 'GET', ...(signal ? { signal } : {}) };
    const response = await answer(url, init, this.#web, this.#options.isOpen ?? false);
    if (response.status === 416) {
      await response.body?.cancel();
      if (begin > 0 || response.headers.get('Content-Range') !== 'bytes */0')
        throw this.#changed(url, 'it is shorter now');
      this.#known.set(path, { ...this.#known.get(path), sizeBytes: 0 });
    } else {
      this.#learn(path, url, begin, response);
    }
    return response;
  }

  #learn(path: string, url: URL, begin: number, { status, headers }: Response): void {
    const known = this.#known.get(path) ?? {};
    const range = /^bytes (\d+)-\d+\/(\d+|\*)$/.exec(headers.get('Content-Range') ?? '');
    if (status === 206 && range && Number(range[1]) !== begin) {
      throw new Problem(
        'network',
        `Cannot fetch "${url.href}": bytes from ${begin} were asked for and the server sent those from ${range[1]}`,
        'The server is at fault: download the files and drop the folder here.',
      );
    }
    // The length of a compressed answer is not the file's.
    const length = status === 200 && !headers.has('Content-Encoding') ? headers.get('Content-Length') : null;
    const stated = range && range[2] !== '*' ? range[2] : length;
    const sizeBytes = stated === undefined || stated === null ? undefined : Number(stated);
    const tag = headers.get('ETag') ?? headers.get('Last-Modified') ?? undefined;
    if (sizeBytes !== undefined && known.sizeBytes !== undefined && sizeBytes !== known.sizeBytes)
      throw this.#changed(url, `it has ${sizeBytes} bytes and had ${known.sizeBytes}`);
    if (tag !== undefined && known.tag !== undefined && tag !== known.tag)
      throw this.#changed(url, `its tag is ${tag} and was ${known.tag}`);
    this.#known.set(path, {
      ...known,
      ...(sizeBytes === undefined ? {} : { sizeBytes }),
      ...(tag === undefined ? {} : { tag }),
    });
  }

  #changed(url: URL, why: string): Problem {
    return new Problem(
      'bad-file',
      `Cannot fetch "${url.href}": it changed on the server while it was read, ${why}`,
      'Load the model again from the start.',
    );
  }
}

/** The files under a folder's address, which may lack its closing slash. */
export function httpFiles(base: URL, options: HttpOptions = {}): Source {
  const folderUrl = new URL(base);
  folderUrl.search = '';
  folderUrl.hash = '';
  if (!folderUrl.pathname.endsWith('/')) folderUrl.pathname += '/';
  if (!/^https?:$/.test(folderUrl.protocol)) {
    throw new Problem(
      'unsupported',
      `Cannot fetch "${base.href}": it is no web address`,
      'Give an https:// address.',
    );
  }
  return new HttpSource(folderUrl, options);
}
