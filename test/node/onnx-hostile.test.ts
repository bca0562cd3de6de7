// ONNX files as an enemy would write them: each is refused with the file, the node or tensor and the reason.
import onnxProto from 'onnx-proto';
import type { onnx as Onnx } from 'onnx-proto';
import { describe, expect, it } from 'vitest';
import { NORM_IDS } from '../../src/norm/registry.ts';
import { readOnnx } from '../../src/onnx/read.ts';
import { findSites } from '../../src/onnx/sites.ts';
import { rewriteOnnx } from '../../src/onnx/surgery.ts';
import { Problem } from '../../src/problem.ts';
import { bytesOf, fileSource, sourceOf } from './onnx-files.ts';

const { ModelProto } = onnxProto.onnx;
const float = (name: string): Onnx.IValueInfoProto => ({ name, type: { tensorType: { elemType: 1 } } });

/** y = x + w, changed. */
function encode(change: (graph: Onnx.IGraphProto, model: Onnx.IModelProto) => void): Uint8Array {
  const graph: Onnx.IGraphProto = {
    node: [{ opType: 'Add', name: 'sum', input: ['x', 'w'], output: ['y'] }],
    initializer: [{ name: 'w', dataType: 1, dims: [2], rawData: new Uint8Array(8) }],
    input: [float('x')],
    output: [float('y')],
  };
  const model: Onnx.IModelProto = { irVersion: 8, opsetImport: [{ domain: '', version: 17 }], graph };
  change(graph, model);
  return ModelProto.encode(model).finish();
}
const open = (bytes: Uint8Array, more: ReturnType<typeof sourceOf>[] = []) =>
  readOnnx([sourceOf('bad.onnx', bytes), ...more]);

type Change = Parameters<typeof encode>[0];
const node = (name: string, input: string[], output: string[]): Onnx.INodeProto => ({
  opType: 'Neg',
  name,
  input,
  output,
});
const weights =
  (tensor: Onnx.ITensorProto): Change =>
  (graph) => {
    graph.initializer = [{ name: 'w', dataType: 1, dims: [2], ...tensor }];
  };
const elsewhere = (entries: Record<string, string>): Change =>
  weights({ dataLocation: 1, externalData: Object.entries(entries).map(([key, value]) => ({ key, value })) });

describe('a graph that cannot be', () => {
  it.each<[string, string, Change]>([
    [
      'reads what nothing writes',
      'node 1 "lost": its input "nowhere" is written by nothing',
      (graph) => graph.node?.push(node('lost', ['nowhere'], ['z'])),
    ],
    [
      'writes a value twice',
      'node 1 "again": its output "y" exists already',
      (graph) => graph.node?.push(node('again', ['x'], ['y'])),
    ],
    [
      'writes over a tensor',
      'its output "w" exists already',
      (graph) => graph.node?.push(node('over', ['x'], ['w'])),
    ],
    [
      'is a cycle',
      'node 1 "a" waits for its own output: the graph has a cycle',
      (graph) => graph.node?.push(node('a', ['q'], ['p']), node('b', ['p'], ['q'])),
    ],
    [
      'has a node without operator',
      'node 1 "blank": it names no operator',
      (graph) => graph.node?.push({ name: 'blank', output: ['z'] }),
    ],
    [
      'has a node without output',
      'node 1 "sink": it has no output',
      (graph) => graph.node?.push(node('sink', ['x'], [])),
    ],
    [
      'gives what nothing writes',
      'output "ghost" is written by nothing',
      (graph) => graph.output?.push(float('ghost')),
    ],
    ['gives nothing', 'its graph has no output', (graph) => (graph.output = [])],
    ['names an input twice', 'the graph names "x" twice', (graph) => graph.input?.push(float('x'))],
    ['has no graph', 'it has no graph', (_, model) => delete model.graph],
    ['has a tensor without name', 'tensor 0: it has no name', weights({ name: '' })],
    [
      'has an unknown type',
      'tensor 0: "w": it has the unknown data type 99',
      weights({ dataType: 99, rawData: new Uint8Array(8) }),
    ],
    [
      'has too few bytes',
      'tensor 0: "w": it holds 4 bytes, its shape wants 8',
      weights({ rawData: new Uint8Array(4) }),
    ],
    ['has too few values', '"w": it holds 1 values, its shape wants 2', weights({ floatData: [1] })],
    ['has a negative dimension', 'its shape [-2, -1] cannot be', weights({ dims: [-2, -1] })],
    [
      'has absurd dimensions',
      'its shape [4194304, 4194304, 4194304] cannot be',
      weights({ dims: [2 ** 22, 2 ** 22, 2 ** 22] }),
    ],
    [
      'has an absurd value',
      'value "v": its shape [1000000000, 1000000000] cannot be',
      (graph) => {
        graph.valueInfo = [
          {
            name: 'v',
            type: { tensorType: { elemType: 1, shape: { dim: [{ dimValue: 1e9 }, { dimValue: 1e9 }] } } },
          },
        ];
      },
    ],
    [
      'hides data above',
      'its data lies in "../secret", a path outside the dropped files',
      elsewhere({ location: '../secret' }),
    ],
    [
      'hides data at the root',
      'its data lies in "/etc/passwd", a path outside',
      elsewhere({ location: '/etc/passwd' }),
    ],
    ['hides data behind a drive', 'a path outside the dropped files', elsewhere({ location: 'C:\\w' })],
    ['hides data nowhere', 'it is stored elsewhere and does not say where', elsewhere({})],
    ['misses its data', 'its data lies in "w.bin", which was not dropped', elsewhere({ location: 'w.bin' })],
    [
      'wants data beyond the end',
      'it wants bytes 100 to 108 of "data.bin", which has 16',
      elsewhere({ location: 'data.bin', offset: '100' }),
    ],
    [
      'wants data before the start',
      'its offset in "data.bin" is "-8"',
      elsewhere({ location: 'data.bin', offset: '-8' }),
    ],
    [
      'wants another length',
      'its length in "data.bin" is 4 bytes, its shape wants 8',
      elsewhere({ location: 'data.bin', length: '4' }),
    ],
    [
      'counts in words',
      'its offset in "data.bin" is "ten"',
      elsewhere({ location: 'data.bin', offset: 'ten' }),
    ],
  ])('%s', async (_, reason, change) => {
    const opening = open(encode(change), [sourceOf('data.bin', new Uint8Array(16))]);
    await expect(opening).rejects.toBeInstanceOf(Problem);
    await expect(opening).rejects.toThrow(reason);
    await expect(opening).rejects.toThrow('Cannot read "bad.onnx"');
  });

  it('is read when nothing is wrong, in any order', async () => {
    const bytes = encode((graph) => graph.node?.unshift(node('late', ['y'], ['z'])));
    const model = await open(bytes);
    expect(model.nodes.map(({ name }) => name)).toEqual(['sum', 'late']);
    const outside = encode(elsewhere({ location: './data.bin', offset: '8' }));
    await open(outside, [sourceOf('data.bin', new Uint8Array(16))]);
  });
});

describe('bytes that cannot be', () => {
  it.each<[string, number[], string]>([
    ['a field cut off', [0x3a, 0x05, 0x0a], 'field 7 wants 5 bytes where 1 are left'],
    ['a length of 2^62', [0x3a, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x40], 'field 7 wants'],
    ['a negative length', [0x3a, 255, 255, 255, 255, 255, 255, 255, 255, 255, 1], 'negative length'],
    ['a graph as a number', [0x38, 1], 'field 7 has wire type 0 instead of 2'],
    ['a version as bytes', [0x0a, 1, 1], 'field 1 has wire type 2 instead of 0'],
    ['a group', [0x3b], 'field 7 has wire type 3'],
    ['field 0', [0x02, 0], 'a field has number 0'],
    ['an endless number', Array.from({ length: 11 }, () => 255), 'longer than 10 bytes'],
    ['a name that is no UTF-8', [0x12, 2, 0xc3, 0x28], 'field 2 is no UTF-8'],
    ['nothing', [], 'it has no graph'],
    ['text', [...new TextEncoder().encode('<!doctype html>')], 'Cannot read'],
  ])('%s', async (_, bytes, reason) => {
    await expect(open(Uint8Array.from(bytes))).rejects.toThrow(reason);
  });

  it('graphs in graphs, a thousand deep', async () => {
    let inner: Onnx.IGraphProto = { node: [{ opType: 'Neg', input: ['x'], output: ['y'] }] };
    for (let i = 0; i < 1000; i++)
      inner = {
        node: [
          {
            opType: 'If',
            input: ['c'],
            output: ['y'],
            attribute: [{ name: 'then_branch', type: 5, g: inner }],
          },
        ],
      };
    const bytes = encode(
      (graph) =>
        (graph.node = [
          {
            opType: 'If',
            name: 'deep',
            input: ['x'],
            output: ['y'],
            attribute: [{ name: 'then_branch', type: 5, g: inner }],
          },
        ]),
    );
    await expect(open(bytes)).rejects.toThrow('graphs stand in graphs more than 16 deep');
  });

  it('a chain of 100,000 nodes is no deeper than one', async () => {
    const bytes = encode((graph) => {
      graph.node = Array.from({ length: 100_000 }, (_, i) => ({
        opType: i % 3 ? 'Cast' : 'Sqrt',
        input: [i ? `v${i - 1}` : 'x'],
        output: [i === 99_999 ? 'y' : `v${i}`],
      })).toReversed();
    });
    const model = await open(bytes);
    expect(model.nodes[0]?.inputs).toEqual(['x']);
    expect(findSites(model)).toEqual([]);
  });

  it('two files at once, or none', async () => {
    const file = fileSource('mixed-torchscript-opset13.onnx');
    await expect(readOnnx([file, file])).rejects.toThrow('Cannot open 2 .onnx files at once');
    await expect(readOnnx([sourceOf('notes.txt', new Uint8Array())])).rejects.toThrow('none was dropped');
    const large = { ...file, sizeBytes: 2 ** 31 };
    await expect(readOnnx([large])).rejects.toThrow('protobuf ends at');
  });
});

/** Numbers that look random and are the same every time (mulberry32). */
function randomFrom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let t = Math.imul(state ^ (state >>> 15), 1 | state);
    t = (t + Math.imul(t ^ (t >>> 7), 61 | t)) ^ t;
    return ((t ^ (t >>> 14)) >>> 0) / 2 ** 32;
  };
}

describe('6,600 mutated files of real exporters', () => {
  const slice = (from: number, length: number): [number, number] => [from, from + length];
  const FILES = [
    'mixed-torchscript-opset13',
    'half-torchscript-opset17',
    'rms-dynamo-opset23',
    'bert-ort-fused',
    'llama-torchscript-opset17',
    'gpt2-dynamo-opset18',
  ];
  it.each(FILES.map((file, index) => [file, index] as const))(
    'of %s are read and rewritten, or refused with a Problem',
    async (file, index) => {
      const real = bytesOf(`${file}.onnx`);
      const random = randomFrom(2026 + index);
      const pick = (n: number): number => Math.floor(random() * n);
      // Most of a large file is numbers: its nodes come first.
      const reach = Math.min(real.length, 20_000);
      const cases = real.length > 50_000 ? 600 : 1600;
      const data = fileSource('gpt2-dynamo-opset18.onnx.data');
      let refused = 0;
      let slowest = 0;
      for (let i = 0; i < cases; i++) {
        let bytes = real.slice();
        for (let edits = 1 + pick(3); edits > 0; edits--) {
          const at = pick(reach);
          const kind = pick(5);
          if (kind === 0) bytes[at] = pick(256);
          else if (kind === 1) bytes[at] = (bytes[at] ?? 0) ^ (1 << pick(8));
          else if (kind === 2) bytes[at] = [0, 1, 127, 128, 255][pick(5)] ?? 0;
          else if (kind === 3) bytes.copyWithin(at, ...slice(pick(reach), pick(16)));
          else if (pick(4) === 0) bytes = bytes.slice(0, pick(bytes.length));
        }
        const startMs = performance.now();
        try {
          const model = await readOnnx([sourceOf('fuzz.onnx', bytes), data]);
          const sites = findSites(model);
          const norm = NORM_IDS[i % NORM_IDS.length];
          if (!norm) throw new Error('no norm');
          const { bytes: made } = await rewriteOnnx(model, sites, {
            swaps: Object.fromEntries(
              sites.filter(({ refusal }) => !refusal).map(({ id }) => [id, { norm }]),
            ),
            taps: sites.map(({ id }) => id),
          });
          // What is written can be read.
          await readOnnx([sourceOf('made.onnx', made)]);
        } catch (thrown) {
          if (!(thrown instanceof Problem)) throw new Error(`case ${i} of ${file}`, { cause: thrown });
          refused += 1;
        }
        slowest = Math.max(slowest, performance.now() - startMs);
      }
      expect(refused).toBeGreaterThan(cases / 20);
      expect(refused).toBeLessThan(cases);
      expect(slowest).toBeLessThan(2000);
    },
  );
});
