// Where files come from: a server made here that breaks off, refuses and changes its mind; the Hub's answers; dropped
// files.
import { readdirSync } from 'node:fs';
import { createServer } from 'node:http';
import type { IncomingMessage, Server, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { httpFiles, WEB } from '../../src/format/http.ts';
import type { Web } from '../../src/format/http.ts';
import { hubFiles, parseHubAddress } from '../../src/format/hub.ts';
import { droppedFiles, folder, Meter, readSmall } from '../../src/format/source.ts';
import type { Progress, Source } from '../../src/format/source.ts';
import { openTensors, streamTensors } from '../../src/format/tensors.ts';
import { isAbort } from '../../src/problem.ts';
import { collect, GOLDEN_HF, problemFrom } from './checkpoints.ts';
import { fileUrl, readBytes } from './fakes.ts';

const BODY = Uint8Array.from({ length: 100_000 }, (_, i) => (i * 31 + (i >> 8)) & 255);
const QUICK: Web = { ...WEB, retryMs: [1, 1, 1], stallMs: 500 };

type Handler = (request: IncomingMessage, response: ServerResponse, seen: number) => void;
let server: Server;
let base: URL;
let handlers: Record<string, Handler>;
let seen: { path: string; range: string | undefined; ifRange: string | undefined }[];

/** What a plain server with ranges does. */
const ranged =
  (body: Uint8Array, tag = '"one"', cut = Infinity): Handler =>
  ({ headers, method }, response) => {
    const [, from, to] = /^bytes=(\d+)-(\d+)$/.exec(headers.range ?? '') ?? [];
    const begin = Number(from ?? 0);
    const end = Math.min(Number(to ?? body.length - 1) + 1, body.length);
    const common = { ETag: tag, 'Content-Length': end - begin };
    const isWhole = from === undefined || (headers['if-range'] && headers['if-range'] !== tag);
    if (isWhole) response.writeHead(200, { ...common, 'Content-Length': body.length });
    else response.writeHead(206, { ...common, 'Content-Range': `bytes ${begin}-${end - 1}/${body.length}` });
    if (method === 'HEAD') response.end();
    else if (end - begin > cut) response.write(body.subarray(begin, begin + cut), () => response.destroy());
    else response.end(isWhole ? body : body.subarray(begin, end));
  };
const status =
  (code: number, headers: Record<string, string> = {}): Handler =>
  (_request, response) => {
    response.writeHead(code, headers);
    response.end('no');
  };

beforeAll(async () => {
  server = createServer((request, response) => {
    const path = request.url ?? '';
    seen.push({
      path,
      range: request.headers.range,
      ifRange: request.headers['if-range'] as string | undefined,
    });
    const count = seen.filter((entry) => entry.path === path).length;
    (handlers[path] ?? status(404))(request, response, count);
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  base = new URL(`http://127.0.0.1:${(server.address() as AddressInfo).port}/m`);
});
afterAll(() => {
  server.closeAllConnections();
  server.close();
});
beforeEach(() => {
  handlers = {};
  seen = [];
});

const files = (web = QUICK): Source => httpFiles(base, { web });

describe('a server', () => {
  test('with ranges: size, a part, the whole, from the middle', async () => {
    handlers['/m/a.bin'] = ranged(BODY);
    const source = files();
    expect(await source.size('a.bin')).toBe(BODY.length);
    expect(await source.tag('a.bin')).toBe('"one"');
    expect(await source.read('a.bin', 10, 20)).toEqual(BODY.slice(10, 20));
    expect(Buffer.compare(await collect(source, 'a.bin'), BODY)).toBe(0);
    expect(await collect(source, 'a.bin', 99_990)).toEqual(BODY.slice(99_990));
    expect(await source.list()).toBeNull();
  });

  test('without ranges', async () => {
    handlers['/m/a.bin'] = (_request, response) => {
      response.writeHead(200, { 'Content-Length': BODY.length });
      response.end(BODY);
    };
    expect(await files().read('a.bin', 50_000, 50_010)).toEqual(BODY.slice(50_000, 50_010));
    expect(await collect(files(), 'a.bin', 10)).toEqual(BODY.slice(10));
  });

  test('whose file is empty', async () => {
    handlers['/m/a.bin'] = status(416, { 'Content-Range': 'bytes */0' });
    expect(await collect(files(), 'a.bin')).toEqual(new Uint8Array());
  });

  test('that breaks off goes on from the last byte, and asks for the same file', async () => {
    handlers['/m/a.bin'] = ranged(BODY, '"one"', 30_000);
    expect(Buffer.compare(await collect(files(), 'a.bin'), BODY)).toBe(0);
    const begins = seen.map(({ range }) => Number(/\d+/.exec(range ?? '')?.[0]));
    expect(begins.length).toBeGreaterThan(4);
    expect(begins.slice(2).every((at) => at > 0)).toBe(true);
    expect(seen.at(-1)?.ifRange).toBe('"one"');
  });

  test('that breaks off again and again without a byte', async () => {
    handlers['/m/a.bin'] = (request, response, count) =>
      count === 1 ? ranged(BODY)(request, response, count) : response.destroy();
    const problem = await problemFrom(() => collect(files(), 'a.bin'));
    expect(problem.code).toBe('network');
    expect(seen).toHaveLength(1 + 1 + QUICK.retryMs.length);
  });

  test('that stalls', async () => {
    handlers['/m/a.bin'] = (request, response, count) => {
      if (count === 1) ranged(BODY)(request, response, count);
      else response.writeHead(206, { 'Content-Length': BODY.length }).write(BODY.subarray(0, 10));
    };
    const web = { ...QUICK, retryMs: [], stallMs: 100 };
    expect((await problemFrom(() => collect(files(web), 'a.bin'))).message).toMatch(/no byte came for 0.1 s/);
  });

  test('whose file changes half-way', async () => {
    handlers['/m/a.bin'] = (request, response, count) =>
      ranged(BODY, count > 2 ? '"two"' : '"one"', 30_000)(request, response, count);
    const problem = await problemFrom(() => collect(files(), 'a.bin'));
    expect(problem).toMatchObject({
      code: 'bad-file',
      message: expect.stringMatching(/changed on the server/),
    });
  });

  test('that sends another range than asked for', async () => {
    handlers['/m/a.bin'] = (_request, response) => {
      response.writeHead(206, { 'Content-Range': `bytes 5-9/${BODY.length}` });
      response.end(BODY.subarray(5, 10));
    };
    expect((await problemFrom(() => files().read('a.bin', 0, 5))).message).toMatch(
      /from 0 were asked .* from 5/,
    );
  });

  test.each<[number, Record<string, string>, string, RegExp]>([
    [401, {}, 'denied', /answered 401/],
    [403, { 'X-Error-Code': 'GatedRepo' }, 'denied', /403 GatedRepo/],
    [404, {}, 'not-found', /answered 404/],
    [500, {}, 'network', /answered 500/],
    [429, {}, 'network', /answered 429/],
  ])('that answers %d', async (code, headers, want, message) => {
    handlers['/m/a.bin'] = status(code, headers);
    const problem = await problemFrom(() => files().size('a.bin'));
    expect(problem).toMatchObject({ code: want, message: expect.stringMatching(message) });
    expect(problem.hint).not.toBe('');
    expect(seen).toHaveLength(want === 'network' ? 1 + QUICK.retryMs.length : 1);
  });

  test('that is gone, offline, or silent to this page: three Problems', async () => {
    const nowhere = new URL('http://127.0.0.1:1/');
    const of = (web: Partial<Web>, isOpen = false) =>
      problemFrom(() => httpFiles(nowhere, { web: { ...QUICK, ...web }, isOpen }).size('a.bin'));
    expect(await of({})).toMatchObject({
      code: 'network',
      message: expect.stringMatching(/fetch failed|ECONN|bad port/),
    });
    expect((await of({ isOnline: () => false })).message).toMatch(/this machine is offline/);
    expect(await of({ origin: 'https://page.example' })).toMatchObject({
      code: 'cross-origin',
      hint: expect.stringMatching(/CORS/),
    });
    expect((await of({ origin: 'https://page.example' }, true)).code).toBe('network');
  });

  test('is let go at once when somebody stops', async () => {
    handlers['/m/a.bin'] = (request, response, count) => {
      if (count === 1) ranged(BODY)(request, response, count);
      else response.writeHead(206, { 'Content-Length': BODY.length }).write(BODY.subarray(0, 10));
    };
    const stop = new AbortController();
    const reading = collect(files({ ...QUICK, stallMs: 60_000 }), 'a.bin', 0, stop.signal);
    setTimeout(() => stop.abort(), 50);
    await expect(reading.catch(isAbort)).resolves.toBe(true);
    await expect(collect(files(), 'a.bin', 0, stop.signal).catch(isAbort)).resolves.toBe(true);
  });

  test.each(['../x', 'a/../../x', '/x', 'a//b', 'a\\b', 'a?b', '%2e%2e/x', ''])(
    'is never asked for "%s"',
    async (path) => {
      expect((await problemFrom(() => files().size(path))).code).toBe('bad-file');
      expect(seen).toEqual([]);
    },
  );
});

describe('the Hub', () => {
  test.each<[string, unknown]>([
    ['owner/name', { repository: 'owner/name', revision: 'main' }],
    [' owner/na.me-2@v1.0 ', { repository: 'owner/na.me-2', revision: 'v1.0' }],
    ['owner/name@refs/pr/3', { repository: 'owner/name', revision: 'refs/pr/3' }],
    ['https://huggingface.co/owner/name/tree/main', { repository: 'owner/name', revision: 'main' }],
    ['https://huggingface.co/owner/name/', { repository: 'owner/name', revision: 'main' }],
    ['name', undefined],
    ['../name', undefined],
    ['owner/name@../../x', undefined],
    ['owner/name/more', undefined],
    ['https://evil.example/owner/name', undefined],
    ['owner/name@a b', undefined],
  ])('address %s', (text, want) => {
    expect(parseHubAddress(text)).toEqual(want);
  });

  const SHA = 'ab'.repeat(20);
  const listPath = '/api/models/o/m/revision/main?blobs=true';
  const open = () =>
    hubFiles({ repository: 'o/m', revision: 'main' }, undefined, { hub: new URL('/', base), web: QUICK });

  test('pins the commit, knows the sizes, and reads from resolve addresses', async () => {
    handlers[listPath] = (_request, response) =>
      response.end(
        JSON.stringify({ sha: SHA, siblings: [{ rfilename: 'a.bin', size: BODY.length, lfs: {} }] }),
      );
    handlers[`/o/m/resolve/${SHA}/a.bin`] = ranged(BODY);
    const source = await open();
    expect(await source.list()).toEqual([{ path: 'a.bin', sizeBytes: BODY.length }]);
    expect(await source.tag('a.bin')).toBe(SHA);
    expect(Buffer.compare(await collect(source, 'a.bin'), BODY)).toBe(0);
    expect(seen.map(({ path }) => path)).toEqual([listPath, `/o/m/resolve/${SHA}/a.bin`]);
  });

  test.each<[string, Handler, string]>([
    ['gated', status(403, { 'X-Error-Code': 'GatedRepo' }), 'denied'],
    ['private or misspelt', status(401), 'denied'],
    ['an unknown revision', status(404), 'not-found'],
    ['no JSON', (_request, response) => response.end('<html>'), 'network'],
    ['no commit', (_request, response) => response.end('{"sha":"../..","siblings":[]}'), 'network'],
    ['an endless list', (_request, response) => response.end(Buffer.alloc(17 * 2 ** 20, 32)), 'network'],
  ])('%s', async (_name, handler, code) => {
    handlers[listPath] = handler;
    expect((await problemFrom(open)).code).toBe(code);
  });
});

describe('dropped files', () => {
  const file = (path: string, text = path) => ({ path, file: new Blob([text]) });
  test('the folder of the shallowest config.json is the model', async () => {
    const source = droppedFiles([
      file('top/x/config.json'),
      file('top/config.json'),
      file('top/a.bin'),
      file('z.bin'),
    ]);
    expect((await source.list())?.map(({ path }) => path)).toEqual(['x/config.json', 'config.json', 'a.bin']);
    expect(new TextDecoder().decode(await readSmall(source, 'a.bin', 100))).toBe('top/a.bin');
  });

  test('two of one name, a missing one, a large one, a range outside', async () => {
    expect((await problemFrom(() => droppedFiles([file('a'), file('a')]))).message).toMatch(
      /"a" is there twice/,
    );
    const source = droppedFiles([file('a', '0123456789')]);
    expect((await problemFrom(() => source.size('b'))).code).toBe('not-found');
    expect((await problemFrom(() => readSmall(source, 'a', 9))).message).toMatch(
      /10 bytes are over the limit of 9/,
    );
    expect((await problemFrom(() => source.read('a', 5, 11))).message).toMatch(/byte 11 .* holds 10/);
  });

  test('a file that changed since', async () => {
    const gone = await folder({
      label: 'a folder',
      list: async () => [{ path: 'a', sizeBytes: 10 }],
      read: async () => {
        throw new Error('ENOENT');
      },
    });
    expect(await problemFrom(() => gone.read('a', 0, 1))).toMatchObject({
      code: 'bad-file',
      hint: expect.stringMatching(/choose it again/),
    });
  });
});

test('progress counts bytes, a file and all of them, with the speed of the last seconds', () => {
  const told: Progress[] = [];
  let nowMs = 0;
  const meter = new Meter(
    new Map([
      ['a', 3000],
      ['b', 1000],
    ]),
    (progress) => told.push(progress),
    () => nowMs,
  );
  for (const [path, bytes] of [
    ['a', 1000],
    ['a', 1000],
    ['a', 1000],
    ['b', 1000],
  ] as const) {
    nowMs += 100;
    meter.add(path, bytes);
  }
  expect(told.at(-1)).toEqual({
    path: 'b',
    fileLoadedBytes: 1000,
    fileTotalBytes: 1000,
    loadedBytes: 4000,
    totalBytes: 4000,
    bytesPerSecond: 10_000,
  });
});

describe('a checkpoint', () => {
  test('from a server that does not list', async () => {
    const names = readdirSync(fileUrl(`${GOLDEN_HF}/mistral-sharded`)).filter((name) =>
      name.startsWith('model'),
    );
    for (const name of names)
      handlers[`/m/${name}`] = ranged(readBytes(`${GOLDEN_HF}/mistral-sharded/${name}`), `"${name}"`);
    const source = files();
    const opened = await openTensors(source);
    expect(opened.tensors.size).toBe(21);
    let count = 0;
    for await (const { name, bytes } of streamTensors(source, opened, { wants: (n) => n.includes('mlp') })) {
      expect(name).toMatch(/mlp/);
      expect(bytes.length).toBeGreaterThan(0);
      count++;
    }
    expect(count).toBe(6);
  });
});
