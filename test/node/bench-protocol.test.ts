// The protocol over a machine on paper: its clock only moves when it works, in whole steps, with noise and drift.
import { describe, expect, test } from 'vitest';
import { allResolved, center, compareAll, driftOf, flagsOf, isCoarse } from '../../src/bench/compare.ts';
import { betweenLooksMs, race, shuffled } from '../../src/bench/protocol.ts';
import type { Contestant, Lane, Race, RaceSpec } from '../../src/bench/protocol.ts';
import { randomFrom } from '../../src/model/sample.ts';
import { gaussian } from '../cases/norm.ts';

type Paper = {
  /** Nanoseconds of the GPU clock's step. */
  quantumNs?: number;
  /** Relative noise of a batch, one for all of a round and one for each. */
  noise?: number;
  /** Growth of every time a second of work: a clock that comes down. */
  driftPerS?: number;
  /** The clock climbs so long, from half speed. */
  coldMs?: number;
  overheadMs?: number;
  hasStamps?: boolean;
};

/** A machine and how to make contestants of `us` microseconds a run on it. */
function machine({
  quantumNs = 1,
  noise = 0.005,
  driftPerS = 0,
  coldMs = 0,
  overheadMs = 0.1,
  hasStamps = true,
}: Paper = {}) {
  const next = gaussian(17);
  let nowMs = 1234.567;
  const calls: string[] = [];
  const contestant = (id: string, us: number): Contestant => ({
    id,
    run: async (n) => {
      calls.push(id);
      const climb = coldMs ? Math.max(0, 1 - (nowMs - 1234.567) / coldMs) : 0;
      const factor = Math.exp(noise * next()) * (1 + (driftPerS * nowMs) / 1000) * (1 + climb);
      const workMs = (n * us * factor) / 1000;
      const begin = BigInt(Math.floor((nowMs * 1e6) / quantumNs));
      const end = BigInt(Math.floor(((nowMs + workMs) * 1e6) / quantumNs));
      const wallMs = workMs + overheadMs * (1 + 0.1 * Math.abs(next()));
      nowMs += wallMs;
      return { wallMs, gpuNs: hasStamps ? (end - begin) * BigInt(quantumNs) : null };
    },
  });
  return { contestant, calls, now: () => nowMs };
}

const spec = (now: () => number, rest: Partial<RaceSpec> = {}): RaceSpec => ({
  rounds: { min: 8, max: 40 },
  budgetMs: 60_000,
  targetMs: 15,
  windowMs: 200,
  now,
  random: randomFrom(5),
  ...rest,
});

const lane = ({ lanes }: Race, id: string): Lane => {
  const found = lanes.find((l) => l.id === id);
  if (!found) throw new Error(`no lane ${id}`);
  return found;
};
const RULES = { confidence: 0.95, margin: 0.02, seed: 3 };
const sampled = (lanes: readonly Lane[]) => lanes.map((l) => ({ ...l, samplesUs: l.gpuUs }));

describe('batches', () => {
  test('last as long as the clock needs, and not much longer', async () => {
    const { contestant, now } = machine();
    const { lanes } = await race([contestant('a', 3), contestant('b', 900)], spec(now));
    for (const { id, us } of [
      { id: 'a', us: 3 },
      { id: 'b', us: 900 },
    ]) {
      const ms = (lanes.find((l) => l.id === id)?.batch ?? 0) * us * 1e-3;
      expect(ms).toBeGreaterThan(14);
      expect(ms).toBeLessThan(17);
    }
  });

  test('are one run where one run is already too long for the budget', async () => {
    const { contestant, now } = machine();
    const { lanes } = await race(
      [contestant('slow', 400_000), contestant('fast', 2)],
      spec(now, { budgetMs: 8000 }),
    );
    expect(lane({ lanes } as Race, 'slow').batch).toBe(1);
    expect(lane({ lanes } as Race, 'fast').batch).toBeGreaterThan(1000);
  });

  test.each([
    [65_536, 0.1, false, 15],
    [1_000_000, 0.1, false, 50],
    [65_536, 0.1, true, 3.2768],
    [null, 0.1, false, 15],
    [null, 1, true, 50],
    [1, 0.005, true, 1],
  ])('a step of %s ns or %s ms, software %s: %s ms', (quantumNs, wallStep, isSoftware, want) => {
    expect(betweenLooksMs(quantumNs, wallStep, isSoftware)).toBeCloseTo(want, 9);
  });
});

describe('rounds', () => {
  test('hold every contestant once, in changing order', async () => {
    const { contestant, now, calls } = machine();
    const { lanes } = await race(
      ['a', 'b', 'c'].map((id) => contestant(id, 100)),
      spec(now),
    );
    expect(lanes.map(({ gpuUs }) => gpuUs.length)).toEqual([40, 40, 40]);
    const rounds = Array.from({ length: 40 }, (_, i) => calls.slice(calls.length - 3 * (i + 1)).slice(0, 3));
    for (const round of rounds) expect(round.toSorted()).toEqual(['a', 'b', 'c']);
    expect(new Set(rounds.map(String)).size).toBeGreaterThan(4);
  });

  test('shuffling keeps all and reaches every order', () => {
    const random = randomFrom(1);
    const seen = new Set(Array.from({ length: 200 }, () => shuffled([1, 2, 3], random).join('')));
    expect([...seen].toSorted()).toEqual(['123', '132', '213', '231', '312', '321']);
  });

  test('stop early once everything is resolved, and say so by their number', async () => {
    const { contestant, now } = machine();
    const levels = [{ level: 'gpu' as const, stepUs: 0 }];
    const { lanes, isSpent } = await race(
      [contestant('a', 100), contestant('b', 120), contestant('c', 100.1)],
      spec(now, { isResolved: (all) => allResolved(all, levels, 'a', RULES) }),
    );
    expect(lanes[0]?.gpuUs.length).toBeLessThan(40);
    expect(isSpent).toBe(false);
    const verdicts = compareAll('cell', 'gpu', sampled(lanes), 'a', 0, RULES);
    expect(verdicts.find(({ b }) => b === 'b')?.verdict).toBe('a faster');
    const ac = verdicts.find(({ a, b }) => [a, b].toSorted().join('') === 'ac');
    expect(ac?.verdict).toBe('no practical difference');
  });

  test('go on while noise hides the answer, and then ask for more of them', async () => {
    const { contestant, now } = machine({ noise: 0.15 });
    const levels = [{ level: 'gpu' as const, stepUs: 0 }];
    const { lanes } = await race(
      [contestant('a', 100), contestant('b', 100.1)],
      spec(now, { isResolved: (all) => allResolved(all, levels, 'a', RULES) }),
    );
    expect(lanes[0]?.gpuUs.length).toBe(40);
    expect(compareAll('cell', 'gpu', sampled(lanes), 'a', 0, RULES)[0]).toMatchObject({
      verdict: 'not resolved',
      rounds: 40,
    });
  });

  test('end with the budget', async () => {
    const { contestant, now } = machine();
    const startMs = now();
    const { lanes, isSpent } = await race(
      [contestant('a', 150_000), contestant('b', 150_000)],
      spec(now, { budgetMs: 5000 }),
    );
    expect(isSpent).toBe(true);
    expect(now() - startMs).toBeLessThan(6500);
    expect(lanes[0]?.gpuUs.length).toBeGreaterThanOrEqual(3);
  });

  test('tell how far they are', async () => {
    const { contestant, now } = machine();
    const said: [string, number, number, number | null][] = [];
    await race([contestant('a', 100)], spec(now, { onProgress: (...words) => said.push(words) }));
    expect(said.map(([stage]) => stage)).toContain('Warming up');
    const measuring = said.filter(([stage]) => stage === 'Measuring');
    expect(measuring.at(-1)).toEqual(['Measuring', 40, 40, 0]);
    const [, done = 0, , leftMs] = measuring[9] ?? [];
    expect(leftMs).toBeGreaterThan((40 - done) * 14);
    expect(leftMs).toBeLessThan((40 - done) * 18);
  });
});

describe('warm-up', () => {
  test('lasts until the machine is steady: nothing of the cold time is in a sample', async () => {
    const { contestant, now } = machine({ coldMs: 900, noise: 0.001 });
    const result = await race([contestant('a', 100)], spec(now));
    expect(result.isSteady).toBe(true);
    const samples = lane(result, 'a').gpuUs.map((us) => us ?? 0);
    expect(Math.max(...samples)).toBeLessThan(105);
  });

  test('gives up on a machine that never is, and says so', async () => {
    const { contestant, now } = machine({ driftPerS: 0.5, noise: 0 });
    const startMs = now();
    const result = await race([contestant('a', 100)], spec(now, { budgetMs: 12_000 }));
    expect(result.isSteady).toBe(false);
    expect(lane(result, 'a').gpuUs.length).toBe(40);
    expect(now() - startMs).toBeLessThan(6000);
  });
});

describe('a clock of 65,536 ns', () => {
  test('gives the right mean and the right ratio, although every sample is a whole number of steps', async () => {
    const { contestant, now } = machine({ quantumNs: 65_536, noise: 0.01 });
    const targetMs = betweenLooksMs(65_536, 0.1, false);
    const result = await race(
      [contestant('a', 20), contestant('b', 20.9)],
      spec(now, { targetMs, rounds: { min: 40, max: 40 } }),
    );
    const a = { ...lane(result, 'a'), samplesUs: lane(result, 'a').gpuUs };
    expect(isCoarse(a, 65.536)).toBe(false); // 229 steps a batch
    expect(center(a, 65.536).centerUs).toBeCloseTo(20, 0);
    const [only] = compareAll('cell', 'gpu', sampled(result.lanes), 'a', 65.536, RULES);
    expect(only).toMatchObject({ a: 'a', b: 'b', verdict: 'a faster' });
    expect(only?.ratio).toBeCloseTo(20 / 20.9, 2);
  });

  test('takes means where a batch is only a few steps long', async () => {
    const { contestant, now } = machine({ quantumNs: 65_536, noise: 0.01, overheadMs: 0.31 });
    const result = await race(
      [contestant('a', 150), contestant('b', 165)],
      spec(now, { targetMs: 0.1, rounds: { min: 400, max: 400 } }),
    );
    const [a, b] = ['a', 'b'].map((id) => ({ ...lane(result, id), samplesUs: lane(result, id).gpuUs }));
    if (!a || !b) throw new Error('no lanes');
    expect(a.batch).toBe(1);
    expect(new Set(a.samplesUs).size).toBeLessThan(4);
    expect(center(a, 65.536)).toMatchObject({ centerIs: 'mean' });
    expect(center(a, 65.536).centerUs).toBeGreaterThan(145);
    expect(center(a, 65.536).centerUs).toBeLessThan(155);
    const [only] = compareAll('cell', 'gpu', [a, b], 'a', 65.536, RULES);
    expect(only).toMatchObject({ statistic: 'means' });
    expect(only?.ratio).toBeCloseTo(150 / 165, 1);
    const results = [a, b].map(({ id, batch, samplesUs }) => ({
      contestant: id,
      batch,
      level: 'gpu' as const,
      drift: null,
      ...center({ samplesUs, batch }, 65.536),
    }));
    expect(flagsOf('cell', results, 65.536).map(({ code }) => code)).toEqual(['small-batch']);
  });
});

describe('drift', () => {
  test('is seen, and the ratios of the rounds hold under it', async () => {
    const { contestant, now } = machine({ driftPerS: 0.4 });
    const result = await race([contestant('a', 100), contestant('b', 105)], spec(now));
    const rho = driftOf(lane(result, 'a').gpuUs);
    expect(rho).toBeGreaterThan(0.9);
    const [only] = compareAll('cell', 'gpu', sampled(result.lanes), 'a', 0, RULES);
    expect(only).toMatchObject({ a: 'a', b: 'b', verdict: 'a faster' });
    const result0 = { contestant: 'a', drift: rho, level: 'gpu' as const, batch: 9, centerUs: 100 };
    expect(flagsOf('cell', [result0], 0).map(({ code }) => code)).toEqual(['drift']);
  });

  test('is not seen in noise, and not looked for in a few rounds', async () => {
    const { contestant, now } = machine();
    const result = await race([contestant('a', 100)], spec(now));
    expect(Math.abs(driftOf(lane(result, 'a').gpuUs) ?? 1)).toBeLessThan(0.5);
    expect(driftOf([1, 2, 3, 4])).toBeNull();
  });
});

describe('trouble', () => {
  test('stopping keeps what was measured, and marks it', async () => {
    const { contestant, now, calls } = machine();
    const abort = new AbortController();
    const stopping: Contestant = {
      id: 'b',
      run: async (n) => {
        if (calls.length > 700) abort.abort();
        return contestant('b', 100).run(n);
      },
    };
    const result = await race(
      [contestant('a', 100), stopping],
      spec(now, { signal: abort.signal, rounds: { min: 500, max: 500 } }),
    );
    expect(result).toMatchObject({ isStopped: true, failures: [] });
    const [a, b] = [lane(result, 'a').gpuUs, lane(result, 'b').gpuUs];
    expect(a.length).toBeGreaterThan(100);
    expect(b.length).toBe(a.length);
    expect(
      Math.abs(a.filter((us) => us !== null).length - b.filter((us) => us !== null).length),
    ).toBeLessThan(2);
  });

  test('stopped before anything began there are no samples, and no exception', async () => {
    const { contestant, now } = machine();
    const abort = new AbortController();
    abort.abort();
    const result = await race([contestant('a', 100)], spec(now, { signal: abort.signal }));
    expect(result).toMatchObject({ isStopped: true, lanes: [{ id: 'a', gpuUs: [], wallUs: [] }] });
  });

  test('who fails is out with a reason, and the others go on', async () => {
    const { contestant, now } = machine();
    let runs = 0;
    const failing: Contestant = {
      id: 'bad',
      run: async (n) => {
        if (++runs > 20) throw new Error('the device said no');
        return contestant('bad', 50).run(n);
      },
    };
    const result = await race([contestant('a', 100), failing], spec(now));
    expect(result.lanes.map(({ id }) => id)).toEqual(['a']);
    expect(lane(result, 'a').gpuUs.length).toBe(40);
    expect(result.failures).toMatchObject([{ id: 'bad', thrown: { message: 'the device said no' } }]);
  });

  test('stamps that went backwards are no samples, and their rounds are left out of ratios', async () => {
    const { contestant, now } = machine();
    const inner = contestant('a', 100);
    let runs = 0;
    const odd: Contestant = {
      id: 'a',
      run: async (n) => ({ ...(await inner.run(n)), ...(runs++ % 3 ? {} : { gpuNs: null }) }),
    };
    const result = await race([odd, contestant('b', 110)], spec(now));
    const missing = lane(result, 'a').gpuUs.filter((us) => us === null).length;
    expect(missing).toBeGreaterThan(10);
    const [only] = compareAll('cell', 'gpu', sampled(result.lanes), 'a', 0, RULES);
    expect(only).toMatchObject({ rounds: 40 - missing, verdict: 'a faster' });
  });

  test('without stamps only the wall speaks', async () => {
    const { contestant, now } = machine({ hasStamps: false });
    const result = await race([contestant('a', 100)], spec(now));
    expect(new Set(lane(result, 'a').gpuUs)).toEqual(new Set([null]));
    expect(lane(result, 'a').wallUs[0]).toBeGreaterThan(99);
  });
});
