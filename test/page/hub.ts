// A Hugging Face Hub for a page without a network: golden models under its addresses, by ranges, as the Hub serves them.
import { readdirSync, readFileSync } from 'node:fs';
import type { Page, Route } from 'playwright';

export const GOLDEN = new URL('../golden-hf/', import.meta.url).pathname;

export type Files = Readonly<Record<string, Buffer>>;

export const goldenFiles = (model: string): Files =>
  Object.fromEntries(
    readdirSync(`${GOLDEN}${model}`).map((name) => [name, readFileSync(`${GOLDEN}${model}/${name}`)]),
  );

/** Drops files as a person does, with a drag event. */
export async function drop(page: Page, files: Files): Promise<void> {
  const given = Object.entries(files).map(([name, body]) => ({ name, base64: body.toString('base64') }));
  await page.evaluate((all) => {
    const data = new DataTransfer();
    for (const { name, base64 } of all)
      data.items.add(new File([Uint8Array.from(atob(base64), (c) => c.charCodeAt(0))], name));
    document.dispatchEvent(new DragEvent('drop', { dataTransfer: data, bubbles: true, cancelable: true }));
  }, given);
}

/** The golden gpt2 with a vocabulary of 32,000: 6 MB, more than is fetched without asking. */
export function largerFiles(): Files {
  const { 'config.json': config, 'model.safetensors': weights } = goldenFiles('gpt2');
  if (!config || !weights) throw new Error('the golden gpt2 is not whole');
  const V = 32_000;
  const length = Number(weights.readBigUInt64LE());
  type Entry = { dtype: string; shape: number[]; data_offsets: [number, number] };
  const header = JSON.parse(weights.toString('utf8', 8, 8 + length)) as Record<string, Entry>;
  const parts: Buffer[] = [];
  let at = 0;
  for (const [name, entry] of Object.entries(header)) {
    if (name === '__metadata__') continue;
    const [begin, end] = entry.data_offsets;
    const bytes = weights.subarray(8 + length + begin, 8 + length + end);
    const isTable = name.endsWith('wte.weight');
    const stored = isTable
      ? Buffer.concat([bytes, Buffer.alloc((V - (entry.shape[0] ?? 0)) * 48 * 4)])
      : bytes;
    if (isTable) entry.shape[0] = V;
    entry.data_offsets = [at, at + stored.length];
    at += stored.length;
    parts.push(stored);
  }
  const text = Buffer.from(JSON.stringify(header));
  const size = Buffer.alloc(8);
  size.writeBigUInt64LE(BigInt(text.length));
  return {
    'config.json': Buffer.from(JSON.stringify({ ...JSON.parse(config.toString()), vocab_size: V })),
    'model.safetensors': Buffer.concat([size, text, ...parts]),
  };
}

export type Hub = {
  /** First bytes that were asked of a file, in order. */
  readonly asked: { readonly path: string; readonly begin: number }[];
  /** From this byte of the weights on, nothing comes. */
  stopAt: number;
};

const CORS = { 'Access-Control-Allow-Origin': '*', 'Access-Control-Expose-Headers': '*' };
const SHA = 'a1'.repeat(20);

/** Answers for the Hub with these models; there is nothing else there. */
export async function serveHub(page: Page, models: Readonly<Record<string, Files>>): Promise<Hub> {
  const hub: Hub = { asked: [], stopAt: Infinity };
  await page.route('https://huggingface.co/**', async (route: Route) => {
    const path = decodeURIComponent(new URL(route.request().url()).pathname);
    for (const [name, files] of Object.entries(models)) {
      if (path === `/api/models/${name}/revision/main`) {
        const siblings = Object.entries(files).map(([rfilename, { length: size }]) => ({ rfilename, size }));
        return route.fulfill({ headers: CORS, json: { sha: SHA, siblings } });
      }
      const file = path.slice(`/${name}/resolve/${SHA}/`.length);
      const body = path.startsWith(`/${name}/resolve/${SHA}/`) ? files[file] : undefined;
      if (!body) continue;
      const { begin = 0, last = body.length - 1 } = rangeOf(route);
      hub.asked.push({ path: file, begin });
      if (begin >= hub.stopAt) return undefined; // it hangs
      const part = body.subarray(begin, Math.min(last + 1, hub.stopAt));
      const headers = { ...CORS, 'Content-Range': `bytes ${begin}-${last}/${body.length}` };
      return route.fulfill({ status: 206, headers, body: part });
    }
    return route.fulfill({ status: 404, headers: CORS, body: 'Repository not found' });
  });
  return hub;
}

function rangeOf(route: Route): { begin?: number; last?: number } {
  const { begin, last } =
    /^bytes=(?<begin>\d+)-(?<last>\d*)$/.exec(route.request().headers()['range'] ?? '')?.groups ?? {};
  return { ...(begin ? { begin: Number(begin) } : {}), ...(last ? { last: Number(last) } : {}) };
}
