// From logits to tokens and losses.
import { describe, expect, test } from 'vitest';
import { drawTable, lossPerToken, randomFrom, sampleToken, topTokens } from '../../src/model/sample.ts';
import type { Sampling } from '../../src/model/sample.ts';

const sampling = (patch: Partial<Sampling> = {}): Sampling => ({
  temperature: 1,
  topK: 0,
  seed: 1,
  maxTokens: 1,
  ...patch,
});

describe('loss', () => {
  test.each([0, 50, -1e4, 3e4])('uniform logits of %d cost ln V', (level) => {
    const V = 2048;
    const loss = lossPerToken(new Float32Array(3 * V).fill(level), [7, 0, V - 1], V);
    expect(loss).toHaveLength(2);
    for (const nats of loss) expect(nats).toBeCloseTo(Math.log(V), 12);
  });

  test('token t+1 is judged by row t', () => {
    const V = 2;
    const logits = Float32Array.of(Math.log(3), 0, 0, 0, 9, 9);
    const [first, second] = lossPerToken(logits, [1, 0, 1], V);
    expect(first).toBeCloseTo(Math.log(4 / 3), 6);
    expect(second).toBeCloseTo(Math.LN2, 12);
  });

  test('one token or none has no loss', () => {
    expect(lossPerToken(new Float32Array(4), [1], 4)).toHaveLength(0);
    expect(lossPerToken(new Float32Array(), [], 4)).toHaveLength(0);
  });
});

describe('next tokens', () => {
  const row = Float32Array.from([1, 3, 2, 3, -1], Math.fround);

  test('most likely first, ties by id', () => {
    expect(topTokens(row, 4).map(({ id }) => id)).toEqual([1, 3, 2, 0]);
  });

  test('probabilities are the softmax and add up to 1', () => {
    const all = topTokens(row, 99);
    expect(all).toHaveLength(5);
    expect(all.reduce((sum, { probability }) => sum + probability, 0)).toBeCloseTo(1, 12);
    expect((all[0]?.probability ?? 0) / (all[2]?.probability ?? 1)).toBeCloseTo(Math.E, 12);
  });
});

describe('sampling', () => {
  const row = Float32Array.from([0.2, 0.5, 0.1, 0.05, 0.15], Math.log);
  const draw = (options: Partial<Sampling>, count: number): number[] => {
    const random = randomFrom(options.seed ?? 1);
    return Array.from({ length: count }, () => sampleToken(row, sampling(options), random));
  };

  test('temperature 0 takes the best and, on a tie, the lower id', () => {
    const random = (): number => 0.999;
    expect(sampleToken(row, sampling({ temperature: 0 }), random)).toBe(1);
    expect(sampleToken(Float32Array.of(1, 5, 5), sampling({ temperature: 0 }), random)).toBe(1);
  });

  test.each([0, 1, 2 ** 31, 2 ** 40 + 3, 123.5])('seed %d gives the same tokens again', (seed) => {
    expect(draw({ seed }, 50)).toEqual(draw({ seed }, 50));
  });

  test('seeds differ, also above 32 bits', () => {
    const sequences = [0, 1, 2, 2 ** 32, 2 ** 32 + 1].map((seed) => draw({ seed }, 50).join());
    expect(new Set(sequences).size).toBe(sequences.length);
  });

  test('random numbers are in [0, 1) and spread evenly', () => {
    const random = randomFrom(9);
    const values = Array.from({ length: 20_000 }, random);
    expect(Math.min(...values)).toBeGreaterThanOrEqual(0);
    expect(Math.max(...values)).toBeLessThan(1);
    for (let tenth = 0; tenth < 10; tenth++)
      expect(Math.abs(values.filter((u) => Math.floor(u * 10) === tenth).length - 2000)).toBeLessThan(180);
  });

  // Chances by hand: p^(1/temperature) over the k best, renormalized. Bound: four standard deviations.
  test.each([
    [{ temperature: 1 }, [0.2, 0.5, 0.1, 0.05, 0.15]],
    [{ temperature: 0.5 }, [0.04, 0.25, 0.01, 0.0025, 0.0225].map((p) => p / 0.325)],
    [{ temperature: 1, topK: 2 }, [2 / 7, 5 / 7, 0, 0, 0]],
    [{ temperature: 1, topK: 1 }, [0, 1, 0, 0, 0]],
    [{ temperature: 1, topK: 99 }, [0.2, 0.5, 0.1, 0.05, 0.15]],
  ])('%o draws by its chances', (options, chances) => {
    const count = 20_000;
    const drawn = draw(options, count);
    chances.forEach((chance, id) => {
      const seen = drawn.filter((token) => token === id).length / count;
      expect(Math.abs(seen - chance)).toBeLessThanOrEqual(4 * Math.sqrt((chance * (1 - chance)) / count));
    });
  });

  test('draws from many by their chances: χ² of 50', () => {
    const count = 50_000;
    const wide = Float32Array.from({ length: 51 }, (_, id) => Math.sin(id * 7));
    const chances = topTokens(wide, wide.length);
    const random = randomFrom(4);
    const seen = wide.map(() => 0);
    for (let i = 0; i < count; i++) {
      const id = sampleToken(wide, sampling(), random);
      seen[id] = (seen[id] ?? 0) + 1;
    }
    const chi = chances.reduce((sum, { id, probability }) => {
      const due = count * probability;
      return sum + ((seen[id] ?? 0) - due) ** 2 / due;
    }, 0);
    expect(chi).toBeLessThan(90); // 0.05 % of draws are beyond
    expect(chi).toBeGreaterThan(21);
  });

  test('the k best at a tie are those of lower id', () => {
    const random = randomFrom(6);
    const tied = Float32Array.of(1, 2, 1, 1, 1);
    const drawn = new Set(
      Array.from({ length: 300 }, () => sampleToken(tied, sampling({ topK: 3 }), random)),
    );
    expect([...drawn].toSorted()).toEqual([0, 1, 2]);
  });

  test('the kernel’s table has the words that sampleToken draws with', () => {
    const table = drawTable(sampling({ temperature: 0.5, topK: 7, seed: 2 }), 3, 6);
    const random = randomFrom(2);
    expect(new Float32Array(table.buffer)[0]).toBe(0.5);
    expect(Array.from(table.subarray(1, 5))).toEqual([7, 0, 0, 0]);
    expect(Array.from(table.subarray(5), (word) => word / 2 ** 32)).toEqual([random(), random(), random()]);
  });

  test.each([
    ['all NaN', [NaN, NaN, NaN]],
    ['one NaN', [1, NaN, 2]],
    ['all −∞', [-Infinity, -Infinity, -Infinity]],
    ['one +∞', [0, Infinity, 0]],
  ])('logits that are %s still give a token', (_name, logits) => {
    for (const options of [{}, { temperature: 0 }, { topK: 2 }]) {
      const token = sampleToken(Float32Array.from(logits), sampling(options), randomFrom(1));
      expect([0, 1, 2]).toContain(token);
    }
    expect(topTokens(Float32Array.from(logits), 3)).toHaveLength(3);
    expect(lossPerToken(Float32Array.from(logits), [0, 1], 3)).toHaveLength(1);
  });
});
