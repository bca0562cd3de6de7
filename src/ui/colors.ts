// One place for colour: members have theirs in the registry; values have three maps, each with one meaning.
import { rgb } from 'd3-color';
import { interpolateLab, piecewise } from 'd3-interpolate';
import { interpolateCividis } from 'd3-scale-chromatic';
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';

/**
 * `magnitude`: cividis from 0 up. `signed`: blue to orange around 0. `share`: the warm tint of saturation, 0 to 1;
 * `rest`: what saturation has left, so the same tint the other way round.
 */
export type Meaning = 'magnitude' | 'signed' | 'share' | 'rest';

export const normColor = (id: NormId, isDark: boolean): string =>
  normSpec(id).color[isDark ? 'dark' : 'light'];

/** A few things told apart, such as the channels that hold the extremes; after Okabe and Ito. */
export const CATEGORIES = {
  light: ['#d55e00', '#0072b2', '#00805d', '#b0437f', '#8f6a00'],
  dark: ['#f2813c', '#5fb4ea', '#2fc39b', '#e78bc0', '#e6c04a'],
} as const;
/** Everything else beside them. */
export const PALE = { light: '#8b8f96', dark: '#777d87' } as const;

const MAPS: Record<'light' | 'dark', Record<Exclude<Meaning, 'rest'>, (t: number) => string>> = {
  light: {
    magnitude: (t) => interpolateCividis(0.12 + 0.88 * t),
    signed: piecewise(interpolateLab, ['#1f5f9e', '#8fb4d6', '#f1eee6', '#e8ac74', '#b85500']),
    share: piecewise(interpolateLab, ['#f3f0e8', '#f6cf9c', '#e58f3a', '#b04f00']),
  },
  dark: {
    magnitude: (t) => interpolateCividis(0.05 + 0.9 * t),
    signed: piecewise(interpolateLab, ['#6fb1ea', '#33618c', '#23272e', '#8a5522', '#f2a65a']),
    share: piecewise(interpolateLab, ['#22262d', '#57401f', '#a5651c', '#f0a24a']),
  },
};

/** A colour scale over `values`, and the span it covers. NaN gets no colour: it is hatched. */
export function valueScale(
  meaning: Meaning,
  values: Iterable<number>,
  isDark: boolean,
): { color: (value: number) => string | null; low: number; high: number } {
  let min = Infinity;
  let max = -Infinity;
  for (const value of values) {
    if (!Number.isFinite(value)) continue;
    min = Math.min(min, value);
    max = Math.max(max, value);
  }
  if (min > max) [min, max] = [0, 0]; // nothing finite
  const widest = Math.max(Math.abs(min), Math.abs(max)) || 1;
  const spans: Record<Meaning, readonly [number, number]> = {
    share: [0, 1],
    rest: [0, 1],
    signed: [-widest, widest],
    magnitude: [Math.min(0, min), max > 0 ? max : 1],
  };
  const [low, high] = spans[meaning];
  const maps = MAPS[isDark ? 'dark' : 'light'];
  const map = meaning === 'rest' ? (t: number) => maps.share(1 - t) : maps[meaning];
  return {
    low,
    high,
    color: (value) =>
      Number.isFinite(value) ? map(Math.min(1, Math.max(0, (value - low) / (high - low)))) : null,
  };
}

/** Cividis from the least to the most of a few positive values, so that they are told apart. */
export function spreadScale(
  values: ArrayLike<number>,
  isDark: boolean,
): { color: (value: number) => string; low: number; high: number } {
  const fine = Array.from(values).filter(Number.isFinite);
  const [low, high] = [Math.min(...fine), Math.max(...fine)];
  const [from, to] = isDark ? [0.25, 1] : [0, 0.86];
  const at = (value: number): number => (high > low ? (value - low) / (high - low) : 0.5);
  return { low, high, color: (value) => interpolateCividis(from + (to - from) * at(value)) };
}

/** Relative luminance. WCAG 2.2. */
function luminance(color: string): number {
  const { r, g, b } = rgb(color);
  const [red = 0, green = 0, blue = 0] = [r, g, b].map((c) =>
    c / 255 <= 0.04045 ? c / 255 / 12.92 : ((c / 255 + 0.055) / 1.055) ** 2.4,
  );
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

/** Black or white, whichever contrasts more with `color`. */
export const inkOn = (color: string): string => (luminance(color) > 0.179 ? '#000000' : '#ffffff');
