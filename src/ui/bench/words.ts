// The bench's things in words, and its numbers as fine as their clock.
import type { BenchReport, BenchResult, Cell, Level, Shape } from '../../bench/spec.ts';
import { adapterName } from '../../gpu/device.ts';
import { bytes, duration, number } from '../format.ts';

export const LEVEL_WORDS: Record<Level, { readonly short: string; readonly about: string }> = {
  gpu: { short: 'GPU time', about: 'Between time stamps at both ends of one compute pass' },
  amortised: { short: 'wall, amortised', about: 'Many runs in one go, waited for once, by the page’s clock' },
  user: { short: 'as a user waits', about: 'One run at a time, with what is read back' },
};

export const shapeName = ({ T, C }: Shape): string => `${T} × ${C}`;

export function cellName({ phase, T, past, C, dtype, hasResidual, regime }: Cell): string {
  if (phase === 'prefill') return `Prefill of ${T} tokens`;
  if (phase === 'decode') return `Decode after ${past} tokens`;
  return [
    C === null ? `${T} tokens` : `${T} × ${C}`,
    dtype,
    hasResidual ? 'with residual' : '',
    regime === 'cold' ? 'cold caches' : '',
  ]
    .filter(Boolean)
    .join(', ');
}

/** The finest that a time of this result may be printed, in milliseconds. */
export function stepOf({ environment: { timer } }: BenchReport, { level, batch }: BenchResult): number {
  return (level === 'gpu' ? (timer.quantumNs ?? 0) / 1e6 : timer.wallStepMs) / Math.max(1, batch);
}

export const timeOf = (report: BenchReport, result: BenchResult, us: number | null): string =>
  us === null ? '–' : duration(us / 1000, stepOf(report, result));

export const machineOf = ({ environment }: BenchReport): string =>
  environment.device === 'cpu' ? 'the processor' : adapterName(environment.adapter);

export const gb = (value: number | null): string => (value === null ? '–' : `${number(value)} GB/s`);
export const size = (value: number | null): string => (value === null ? '–' : bytes(value));
/** `0.97 ×`, `1.31 ×`. */
export const times = (ratio: number): string => `${number(ratio)} ×`;
