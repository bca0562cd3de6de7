// The goldens of test/golden, loaded over the test server.
import { NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';

export type GoldenSite = Record<'inMean' | 'inStd' | 'inAbsMax' | 'outRms', number[]>;
export type GoldenCase = {
  name: string;
  tokens: number[];
  norm: NormId;
  weights: 'native' | 'raw swap';
  defaults: Record<string, number>;
  greedy: number[];
  sites: Record<string, GoldenSite>;
};
export type GoldenJson = { cases: GoldenCase[]; heldOutLoss: { mean: number } };

const JSON_FILES = import.meta.glob<GoldenJson>('../golden/*/golden.json', {
  eager: true,
  import: 'default',
});
const TENSOR_URLS = import.meta.glob<string>('../golden/*/golden.safetensors', {
  eager: true,
  import: 'default',
  query: '?url',
});
const HELD_OUT_URL = new URL('../golden/held-out.bin', import.meta.url);

const bytesAt = async (url: string | URL): Promise<Uint8Array> =>
  new Uint8Array(await (await fetch(url)).arrayBuffer());

export const TWINS = await Promise.all(
  NORM_IDS.flatMap((norm) => {
    const json = JSON_FILES[`../golden/${norm}/golden.json`];
    const url = TENSOR_URLS[`../golden/${norm}/golden.safetensors`];
    if (!json || !url) return [];
    return [bytesAt(url).then((tensors) => ({ norm, json, tensors, heldOutLoss: json.heldOutLoss.mean }))];
  }),
);

export const goldenCases = (json: GoldenJson): GoldenCase[] => json.cases;

/** 16 windows of 257 held-out tokens. */
export const HELD_OUT = await bytesAt(HELD_OUT_URL).then((bytes) => {
  const tokens = new Uint16Array(bytes.slice().buffer);
  return Array.from({ length: 16 }, (_, i) => Array.from(tokens.subarray(257 * i, 257 * (i + 1))));
});
