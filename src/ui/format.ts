// Numbers and tokens as people read them.
import type { Site } from '../model/plan.ts';

/** Three significant digits at most, a true minus sign, no exponent between 0.001 and 100,000. */
export function number(value: number, digits = 3): string {
  if (Number.isNaN(value)) return 'NaN';
  if (!Number.isFinite(value)) return value > 0 ? '∞' : '−∞';
  const a = Math.abs(value);
  const far = a !== 0 && (a < 1e-3 || a >= 1e5);
  const text = far
    ? value.toExponential(Math.max(0, digits - 2))
    : Number(value.toPrecision(digits)).toString();
  return text.replace('-', '−');
}

/** A fixed number of decimals, for columns that are compared. */
export const fixed = (value: number, decimals: number): string =>
  Number.isFinite(value) ? value.toFixed(decimals).replace('-', '−') : number(value);

export const percent = (share: number): string => {
  if (!Number.isFinite(share)) return number(share);
  const value = 100 * share;
  return `${value > 0 && value < 9.95 ? value.toFixed(1) : Math.round(value)} %`;
};

export function bytes(size: number): string {
  if (size < 1000) return `${Math.round(size)} B`;
  if (size < 1e6) return `${number(size / 1e3)} kB`;
  return size < 1e9 ? `${number(size / 1e6)} MB` : `${number(size / 1e9)} GB`;
}

/** `1.7 M`, `1.24 B`. */
export function count(things: number): string {
  if (things < 1e6) return things.toLocaleString('en');
  return things < 1e9 ? `${number(things / 1e6)} M` : `${number(things / 1e9)} B`;
}

/** `40 s`, `12 min`. */
export const seconds = (s: number): string => (s < 90 ? `${Math.round(s)} s` : `${Math.round(s / 60)} min`);

/** A duration no finer than its clock: under one step it says only that. */
export function duration(ms: number, stepMs: number): string {
  if (!Number.isFinite(ms)) return '–';
  if (stepMs > 0 && ms < stepMs) return `< ${plainMs(stepMs)}`;
  const rounded = stepMs > 0 ? Math.round(ms / stepMs) * stepMs : ms;
  return plainMs(rounded);
}

const plainMs = (ms: number): string => (ms >= 1 ? `${number(ms)} ms` : `${number(ms * 1000)} µs`);

/** A token with its spaces and line breaks visible. */
export function visible(text: string): string {
  if (text === '') return '∅';
  return text
    .replaceAll(' ', '·')
    .replaceAll('\n', '↵')
    .replaceAll('\t', '⇥')
    .replaceAll(
      /[\u0000-\u001f\u007f-\u009f]/g,
      (c) => `\\x${c.charCodeAt(0).toString(16).padStart(2, '0')}`,
    );
}

const KIND_WORDS = { embedding: 'emb', attention: 'attn', mlp: 'mlp', final: 'final' } as const;
const KIND_PHRASES = {
  embedding: 'first norm, after the embeddings',
  attention: 'attention',
  mlp: 'the MLP',
  final: 'last norm, before the head',
} as const;

/** `4 mlp`, `final`. */
export const siteName = ({ kind, layer }: Site): string =>
  layer === null ? KIND_WORDS[kind] : `${layer} ${KIND_WORDS[kind]}`;
/** `layer 4, before the MLP`. */
export const sitePhrase = ({ kind, layer, isAfter }: Site): string =>
  layer === null
    ? KIND_PHRASES[kind]
    : `layer ${layer}, ${isAfter ? 'after' : 'before'} ${KIND_PHRASES[kind]}`;
