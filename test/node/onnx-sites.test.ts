// Files of real exporters: the sites found in them, and what becomes of their outputs when sites are rewritten. Both
// files run in onnxruntime; a site's new output is held to the float64 reference of the member.
import type { Tensor } from 'onnxruntime-web';
import { describe, expect, it } from 'vitest';
import { applyAffine } from '../../src/norm/reference.ts';
import { NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { readOnnx } from '../../src/onnx/read.ts';
import type { OnnxNode } from '../../src/onnx/nodes.ts';
import type { OnnxModel } from '../../src/onnx/read.ts';
import { findSites } from '../../src/onnx/sites.ts';
import type { OnnxSite } from '../../src/onnx/sites.ts';
import { refusalOf, rewriteOnnx } from '../../src/onnx/surgery.ts';
import type { OnnxSwaps } from '../../src/onnx/surgery.ts';
import { openFile, ort, sourceOf } from './onnx-files.ts';

/** x that stays the same from run to run. */
const noise = (count: number): Float32Array =>
  Float32Array.from({ length: count }, (_, i) => Math.sin(i * 12.9898 + 1) * 1.7);
const IDS = [5, 17, 3, 88, 41, 0, 96, 12, 12, 60, 7, 33];

function feedsFor({ inputs }: OnnxModel): Record<string, Tensor> {
  return Object.fromEntries(
    inputs.map(({ name, type }) => {
      if (name === 'input_ids')
        return [name, new ort.Tensor('int64', BigInt64Array.from(IDS, BigInt), [1, 12])];
      if (name === 'attention_mask')
        return [
          name,
          new ort.Tensor(
            'int64',
            BigInt64Array.from(IDS, (_, i) => (i < 10 ? 1n : 0n)),
            [1, 12],
          ),
        ];
      const data = noise(2 * 5 * 24);
      const half = (): Tensor => new ort.Tensor('float16', Uint16Array.from(data, toHalf), [2, 5, 24]);
      return [name, type === 10 ? half() : new ort.Tensor('float32', data, [2, 5, 24])];
    }),
  );
}

/** Values of ±2^-3 steps only, so that no rounding is asked for. */
const toHalf = (value: number): number => {
  const rounded = Math.max(1, Math.round(Math.abs(value) * 8)) / 8;
  const exponent = Math.floor(Math.log2(rounded));
  return (value < 0 ? 0x8000 : 0) | ((exponent + 15) << 10) | ((rounded / 2 ** exponent - 1) * 1024);
};

async function run(file: Uint8Array, feeds: Record<string, Tensor>): Promise<Map<string, Tensor>> {
  const session = await ort.InferenceSession.create(file, {
    executionProviders: ['wasm'],
    logSeverityLevel: 3,
  });
  try {
    return new Map(Object.entries(await session.run(feeds)));
  } finally {
    await session.release();
  }
}

const floats = (outputs: Map<string, Tensor>, name: string): Float32Array => {
  const data = outputs.get(name)?.data;
  if (data instanceof Float32Array) return data;
  throw new Error(`${name} is ${outputs.get(name)?.type ?? 'missing'}`);
};

function worst(a: ArrayLike<number>, b: ArrayLike<number>): number {
  expect(a.length).toBe(b.length);
  let most = 0;
  for (let i = 0; i < a.length; i++) most = Math.max(most, Math.abs((a[i] ?? 0) - (b[i] ?? Number.NaN)) || 0);
  expect(Array.from(a).every(Number.isFinite)).toBe(true);
  return most;
}

/** Norm, way of writing, ε and name of each site. */
const FILES: Record<string, readonly [norm: string, writtenAs: string, eps: number, ids: readonly string[]]> =
  {
    'bert-torchscript-opset14': [
      'LayerNorm',
      'ReduceMean · Sub · Pow · ReduceMean · Add · Sqrt · Div',
      1e-12,
      [
        'model.bert.embeddings.LayerNorm',
        'model.bert.encoder.layer.0.attention.output.LayerNorm',
        'model.bert.encoder.layer.0.output.LayerNorm',
        'model.bert.encoder.layer.1.attention.output.LayerNorm',
        'model.bert.encoder.layer.1.output.LayerNorm',
        'model.cls.predictions.transform.LayerNorm',
      ],
    ],
    'llama-torchscript-opset17': [
      'RMSNorm',
      'Pow · ReduceMean · Add · Sqrt · Div · Mul',
      1e-6,
      [
        'model.model.layers.0.input_layernorm',
        'model.model.layers.0.post_attention_layernorm',
        'model.model.layers.1.input_layernorm',
        'model.model.layers.1.post_attention_layernorm',
        'model.model.norm',
      ],
    ],
    'gpt2-dynamo-opset18': [
      'LayerNorm',
      'LayerNormalization',
      1e-5,
      ['h.0.ln_1', 'h.0.ln_2', 'h.1.ln_1', 'h.1.ln_2', 'ln_f'].map((id) => `model.transformer.${id}`),
    ],
    'half-torchscript-opset17': [
      'RMSNorm',
      'Pow · ReduceMean · Add · Sqrt · Div · Mul',
      1e-6,
      ['one', 'two'],
    ],
  };

describe('sites', () => {
  it.each(Object.entries(FILES))('of %s are exact', async (file, [label, writtenAs, eps, ids]) => {
    const { sites } = await openFile(file);
    expect(sites.map(({ id }) => id)).toEqual(ids);
    for (const site of sites) {
      expect(normSpec(site.norm).label).toBe(label);
      expect(site.writtenAs).toBe(writtenAs);
      expect(Math.abs(site.eps / eps - 1)).toBeLessThan(1e-6);
      expect(site).toMatchObject({ C: file.startsWith('half') ? 24 : 32, layout: 'last', refusal: null });
    }
  });

  it.each([
    ['bert', 'LayerNormalization', 'SkipLayerNormalization', 4, 3],
    ['llama', 'SimplifiedLayerNormalization', 'SkipSimplifiedLayerNormalization', 4, 2],
  ] as const)(
    'of %s keep their names when onnxruntime has fused them',
    async (model, first, skip, skips, addends) => {
      const [plain, fused] = [
        await openFile(model === 'bert' ? 'bert-torchscript-opset14' : 'llama-torchscript-opset17'),
        await openFile(`${model}-ort-fused`),
      ];
      expect(fused.sites.map(({ id, norm, eps, C }) => ({ id, norm, eps, C }))).toEqual(
        plain.sites.map(({ id, norm, eps, C }) => ({ id, norm, eps, C })),
      );
      expect(fused.sites[0]?.writtenAs).toBe(first);
      const fusedSkips = fused.sites.filter(({ writtenAs }) => writtenAs === skip);
      expect(fusedSkips).toHaveLength(skips);
      for (const site of fusedSkips) expect(site.addends).toHaveLength(addends);
    },
  );

  it('are told apart in a graph with one of each, and a GELU is none', async () => {
    const { sites } = await openFile('mixed-torchscript-opset13');
    expect(sites.map(({ id, norm, layout, C }) => [id, normSpec(norm).label, layout, C])).toEqual([
      ['dyt', 'DyT', 'last', 24],
      ['derf', 'Derf', 'last', 24],
      ['batch', 'BatchNorm', 'second', 24],
      ['instance', 'InstanceNorm', 'second', 24],
      ['plain', 'LayerNorm', 'last', null],
    ]);
    expect(sites.map(({ params }) => Object.keys(params).toSorted().join(' '))).toEqual([
      'alpha beta gamma',
      'alpha beta gamma shift',
      'beta gamma running_mean running_var',
      'beta gamma',
      '',
    ]);
    const alpha = sites[0]?.params['alpha']?.numbers;
    expect(alpha).toHaveLength(1);
    const rms = await openFile('rms-dynamo-opset23');
    expect(rms.sites.map(({ id, writtenAs }) => [id, writtenAs])).toEqual([
      ['norm', 'RMSNormalization'],
      ['last', 'LayerNormalization'],
    ]);
  });
});

const ALL = [
  ...Object.keys(FILES),
  'bert-ort-fused',
  'llama-ort-fused',
  'mixed-torchscript-opset13',
  'rms-dynamo-opset23',
];

/** `logits` of the file as it is, and after `swaps`. */
async function both(
  model: OnnxModel,
  sites: readonly OnnxSite[],
  swaps: OnnxSwaps,
): Promise<{
  before: Float32Array | Tensor;
  after: Float32Array | Tensor;
  taps: (id: string, side: 'in' | 'out') => Float32Array;
}> {
  const feeds = feedsFor(model);
  const [plain, changed] = [
    await rewriteOnnx(model, sites, {}),
    await rewriteOnnx(model, sites, { swaps, taps: Object.keys(swaps) }),
  ];
  const [one, two] = [await run(plain.bytes, feeds), await run(changed.bytes, feeds)];
  const of = (outputs: Map<string, Tensor>): Float32Array => {
    const tensor = outputs.get('logits');
    return tensor?.type === 'float16' ? halves(tensor) : floats(outputs, 'logits');
  };
  const tap = (id: string, side: 'in' | 'out'): Float32Array => {
    const tensor = two.get(changed.taps[id]?.[side] ?? '');
    return tensor?.type === 'float16' ? halves(tensor) : floats(two, changed.taps[id]?.[side] ?? '');
  };
  return { before: of(one), after: of(two), taps: tap };
}

const halves = ({ data }: Tensor): Float32Array => {
  const bits = new Uint16Array((data as Uint16Array).buffer, (data as Uint16Array).byteOffset, data.length);
  return Float32Array.from(bits, (b) => {
    const [exponent, fraction] = [(b >> 10) & 31, b & 1023];
    const size = exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction;
    return b & 0x8000 ? -size : size;
  });
};

describe('a member put in its own place', () => {
  it.each(ALL)('leaves the outputs of %s as they are', async (file) => {
    const { model, sites } = await openFile(file);
    const swaps = Object.fromEntries(sites.map(({ id, norm }) => [id, { norm }]));
    const { before, after } = await both(model, sites, swaps);
    expect(worst(after as Float32Array, before as Float32Array)).toBeLessThan(
      file.startsWith('half') ? 4e-3 : 1e-5,
    );
  });
});

/** The float64 of a member over the tapped input of a site, channels last or second. */
function reference(site: OnnxSite, norm: NormId, x: Float32Array, rows: number): Float64Array {
  const C = 24 === site.C || site.C === null ? 24 : 32;
  const { params, reference: of } = normSpec(norm);
  const own = Object.fromEntries(
    Object.entries(params).map(([name, { default: value, size }]) => [
      name,
      site.params[name]?.numbers ?? new Float64Array(size === 'C' ? C : 1).fill(value),
    ]),
  );
  const T = x.length / C / rows;
  const turn = (values: Float64Array, from: [number, number]): Float64Array =>
    site.layout === 'last'
      ? values
      : values.map((_, i) => values[(i % from[0]) * from[1] + Math.floor(i / from[0])] ?? 0);
  const out: number[] = [];
  for (let row = 0; row < rows; row++) {
    const given = turn(Float64Array.from(x.subarray(row * T * C, (row + 1) * T * C)), [C, T]);
    out.push(...turn(applyAffine(of.core(given, C, own, site.eps || 1e-5), C, own), [T, C]));
  }
  return Float64Array.from(out);
}

describe.each(NORM_IDS)('every site as %s', (norm) => {
  // Statistics over the prompt are another batch's affair: one row a time.
  it.each(ALL)('of %s gives the float64 of its input', async (file) => {
    const { model, sites } = await openFile(file);
    const able = sites.filter((site) => refusalOf(model, site, norm) === null);
    if (normSpec(norm).over !== 'channel') expect(able).toHaveLength(sites.length);
    const swaps = Object.fromEntries(able.map(({ id }) => [id, { norm }]));
    const { taps } = await both(model, sites, swaps);
    const rows = model.inputs[0]?.name === 'x' ? 2 : 1;
    for (const site of able) {
      const isStored = site.params['running_mean'] !== undefined;
      const measured = normSpec(norm).over === 'channel' && !isStored;
      const stand = measured
        ? NORM_IDS.find((id) => normSpec(id).reference === normSpec('instancenorm').reference)
        : norm;
      const want = reference(site, stand ?? norm, taps(site.id, 'in'), rows);
      const largest = want.reduce((most, value) => Math.max(most, Math.abs(value)), 1);
      const tolerance = site.outType === 10 ? 1e-3 : 2e-5;
      expect(worst(taps(site.id, 'out'), want), site.id).toBeLessThan(tolerance * largest);
    }
  });
});

describe('surgery', () => {
  it('keeps the bytes of every node and tensor it does not touch', async () => {
    const { model, sites } = await openFile('bert-torchscript-opset14');
    const [first] = sites;
    if (!first) throw new Error('no site');
    const { bytes, prefix } = await rewriteOnnx(model, sites, {
      swaps: { [first.id]: { norm: 'dyt', values: { alpha: [0.25] } } },
      taps: [first.id],
    });
    const again = await readOnnx([sourceOf('again.onnx', bytes)]);
    const raw = (node: OnnxNode): string => Buffer.from(node.raw).toString('hex');
    const kept = new Set(again.nodes.map(raw));
    const gone = model.nodes.filter((node) => !kept.has(raw(node)));
    const site = '/model/bert/embeddings/LayerNorm/';
    expect(gone.map(({ name }) => name)).toEqual(
      model.nodes.flatMap(({ name }) => (name.startsWith(site) ? [name] : [])),
    );
    const before = new Set(model.nodes.map(raw));
    const added = again.nodes.filter((node) => !before.has(raw(node)));
    expect(added.every(({ name }) => name.startsWith(prefix) || name === `${first.output}/Identity`)).toBe(
      true,
    );
    for (const [name, tensor] of model.initializers)
      expect(
        Buffer.from(again.initializers.get(name)?.message ?? []).equals(Buffer.from(tensor.message)),
        name,
      ).toBe(true);
    const found = findSites(again);
    expect(found.map(({ id }) => id)).toEqual(sites.map(({ id }) => id));
    expect(normSpec(found[0]?.norm ?? 'none').label).toBe('DyT');
    expect(found[0]?.params['alpha']?.numbers?.[0]).toBe(0.25);
  });

  it('takes data of other files in, so that one file stands alone', async () => {
    const { model, sites } = await openFile('gpt2-dynamo-opset18');
    expect([...model.initializers.values()].filter(({ external }) => external).length).toBeGreaterThan(5);
    const { bytes } = await rewriteOnnx(model, sites, {});
    const again = await readOnnx([sourceOf('alone.onnx', bytes)]);
    expect([...again.initializers.values()].filter(({ external }) => external)).toEqual([]);
    expect(again.initializers.size).toBe(model.initializers.size);
  });

  it('opens its own files again', async () => {
    const { model, sites } = await openFile('mixed-torchscript-opset13');
    const swaps = (all: readonly OnnxSite[]): OnnxSwaps =>
      Object.fromEntries(all.map(({ id }) => [id, { norm: 'rmsnorm' as const }]));
    const once = await rewriteOnnx(model, sites, { swaps: swaps(sites), taps: sites.map(({ id }) => id) });
    const second = await readOnnx([sourceOf('once.onnx', once.bytes)]);
    const found = findSites(second);
    const twice = await rewriteOnnx(second, found, { swaps: swaps(found), taps: found.map(({ id }) => id) });
    expect(twice.prefix).not.toBe(once.prefix);
    const feeds = feedsFor(model);
    const [a, b] = [await run(once.bytes, feeds), await run(twice.bytes, feeds)];
    expect(worst(floats(b, 'logits'), floats(a, 'logits'))).toBeLessThan(1e-5);
  });

  it('refuses what cannot be', async () => {
    const { model, sites } = await openFile('llama-torchscript-opset17');
    await expect(rewriteOnnx(model, sites, { swaps: { nowhere: { norm: 'dyt' } } })).rejects.toThrow(
      'Cannot rewrite "nowhere": "llama-torchscript-opset17.onnx" has no such site',
    );
    const id = 'model.model.norm';
    const giving = (values: Record<string, number[]>) =>
      rewriteOnnx(model, sites, { swaps: { [id]: { norm: 'dyt', values } } });
    await expect(giving({ alpha: [1, 2] })).rejects.toThrow('"alpha" wants 1 numbers, 2 are given');
    await expect(giving({ gamma: [1, 2] })).rejects.toThrow('"gamma" wants 1 or 32 numbers, 2 are given');
    await expect(giving({ tau: [1] })).rejects.toThrow('DyT has no parameter "tau"');
    await expect(giving({ alpha: [Number.NaN] })).rejects.toThrow('alpha');
    const huge = { ...model, sizeBytes: 2 ** 31 };
    await expect(rewriteOnnx(huge, sites, {})).rejects.toThrow('with its data inside it has');
  });
});
