// A fitted model as a folder: it loads back bit for bit, from a disk and dropped on the page.
import { readdirSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { convertModel } from '../../src/engine/convert.ts';
import { Library } from '../../src/engine/library.ts';
import { openInto } from '../../src/engine/opened.ts';
import { convertWeights, membersOf, torchSnippet } from '../../src/fit/convert.ts';
import { fitted, originalPlan } from '../../src/fit/plans.ts';
import { scalarsAt } from '../../src/fit/solve.ts';
import { methodsFor } from '../../src/fit/spec.ts';
import { toFloat32 } from '../../src/format/safetensors.ts';
import { firstTwin, trainedNorms } from '../../src/model/catalog.ts';
import { sitesOf } from '../../src/model/model.ts';
import type { Checkpoint } from '../../src/model/model.ts';
import { onCpu } from '../../src/model/opened.ts';
import { resolveTheta } from '../../src/model/plan.ts';
import type { Plan } from '../../src/model/plan.ts';
import { bends, NORM_IDS } from '../../src/norm/registry.ts';
import type { NormId } from '../../src/norm/registry.ts';
import { fileUrl, MODEL_FOLDER, readBytes } from './fakes.ts';

/** What stands at a site of a model under a plan. */
function thetaOf({ sites }: Plan, { model, file }: Checkpoint, id: string) {
  const site = sites[id];
  if (!site) throw new Error('no such site');
  return resolveTheta(site, model.dims.C, (name) => {
    const tensor = file.tensors.get(`${id}.${name}`);
    return tensor && toFloat32(tensor);
  });
}

describe('a converted model', async () => {
  const folder = new Map<string, Uint8Array>();
  const library = new Library(new URL('http://models/'), async (url) => {
    const path = url.pathname.slice(1);
    const made = folder.get(path);
    const bytes = made ?? readBytes(`public/models/${path}`);
    return new Response(bytes.slice());
  });
  const weights = 'fairy-tale-gpt/layernorm';
  const checkpoint = await library.checkpoint(weights);
  const { info } = await library.model('fairy-tale-gpt');
  const sites = sitesOf(checkpoint);
  const planOf = (id: NormId): Plan => ({
    weights,
    sites: Object.fromEntries(
      sites.map((one, i) => [
        one.id,
        { norm: id, source: 'fitted', alphaScale: 1, values: { ...scalarsAt(id, 0.1 * (i + 1)) } },
      ]),
    ),
  });

  test.each(NORM_IDS.filter((id) => methodsFor(id).includes('fine-tune')))(
    'to %s loads back bit for bit',
    async (id) => {
      const plan = planOf(id);
      const { path: file } = info.tokenizer;
      const carried = [{ path: file, bytes: readBytes(`${MODEL_FOLDER}/${file}`) }];
      for (const { path, bytes } of convertModel(checkpoint, info, plan, carried, 3.5))
        folder.set(`fairy-tale-gpt-${id}/${path}`, bytes);
      const again = await library.checkpoint(`fairy-tale-gpt-${id}/${id}`);
      expect(again.norm).toBe(id);
      expect(again.config).toEqual({ ...checkpoint.config, norm: id });
      for (const [name, tensor] of checkpoint.file.tensors)
        if (!sites.some((one) => name.startsWith(`${one.id}.`)))
          expect(Buffer.compare(again.file.tensors.get(name)?.bytes ?? Buffer.of(), tensor.bytes), name).toBe(
            0,
          );
      for (const one of sites) {
        const vectors = (of: typeof checkpoint) => (name: string) => {
          const tensor = of.file.tensors.get(`${one.id}.${name}`);
          return tensor && toFloat32(tensor);
        };
        const width = checkpoint.model.dims.C;
        const sitePlan = plan.sites[one.id];
        if (!sitePlan) throw new Error('no such site');
        const native = resolveTheta({ norm: id, source: 'twin', alphaScale: 1 }, width, vectors(again));
        const made = resolveTheta(sitePlan, width, vectors(checkpoint));
        expect(Buffer.compare(new Uint8Array(native.values.buffer), new Uint8Array(made.values.buffer))).toBe(
          0,
        );
      }
      expect(again.file.tensors.get('ln_f.weight')?.dtype).toBe('F32');
      // The same folder, dropped on the page.
      const opened = await drop(`fairy-tale-gpt-${id}/`, [...folder]);
      expect(opened.survey.family).toBe(checkpoint.config?.['model_type']);
      expect(opened.survey.hasTokenizer).toBe(true);
      expect(opened.survey.sites).toEqual(sites.map((one) => ({ ...one, norm: id })));
      await sameModel(opened.checkpoint, again);
    },
  );

  const drop = async (prefix: string, files: [path: string, bytes: Uint8Array][]) => {
    const what = {
      files: files
        .filter(([path]) => path.startsWith(prefix))
        .map(([path, bytes]) => ({ path, file: new Blob([bytes.slice()]) })),
    };
    const put = async ({ streamed }: Checkpoint) => {
      for await (const tensor of streamed?.read() ?? []) void tensor;
      return async () => undefined;
    };
    const { survey, model, loaded } = await openInto(library, what, 2 ** 30, put);
    return { survey, model, checkpoint: await library.checkpoint(loaded.weights) };
  };
  const sameModel = async (one: Checkpoint, other: Checkpoint): Promise<void> => {
    const { model, file, norm, context, vocabSize } = await onCpu(one);
    expect({ norm, context, vocabSize }).toEqual({
      norm: other.norm,
      context: other.context,
      vocabSize: other.vocabSize,
    });
    expect(model.dims).toEqual(other.model.dims);
    expect(model.norm.eps).toBe(other.model.norm.eps);
    expect([...file.tensors.keys()].toSorted()).toEqual([...other.file.tensors.keys()].toSorted());
    for (const [name, tensor] of file.tensors)
      expect(Buffer.compare(tensor.bytes, other.file.tensors.get(name)?.bytes ?? Buffer.of()), name).toBe(0);
  };
  const bundled = (paths: readonly string[]): [string, Uint8Array][] =>
    paths.map((path) => [path, readBytes(`public/models/${path}`)]);

  test.each(trainedNorms(info))('a twin’s own folder opens too: %s', async (id) => {
    const weightsOf = (norm: NormId) => library.checkpoint(`fairy-tale-gpt/${norm}`);
    const files = bundled([`fairy-tale-gpt/${id}/config.json`, `fairy-tale-gpt/${id}/model.safetensors`]);
    const opened = await drop('', files);
    expect(opened.survey.hasTokenizer).toBe(false);
    await sameModel(opened.checkpoint, await weightsOf(id));
  });

  test('its whole folder brings tokenizer and texts along, and is checked', async () => {
    const { twins, tokenizer, calibration, heldOut } = info;
    const twin = twins[firstTwin(info)];
    if (!twin || !calibration || !heldOut) throw new Error('the page has a model with texts');
    const paths = ['model.json', twin.config, twin.weights.path, tokenizer.path, calibration.path];
    const files = bundled([...paths, heldOut.path].map((path) => `fairy-tale-gpt/${path}`));
    const { model, checkpoint: opened } = await drop('', files);
    expect(opened.norm).toBe(firstTwin(info));
    for (const use of ['calibration', 'heldOut'] as const)
      expect(await library.windows(model.id, use)).toEqual(await library.windows('fairy-tale-gpt', use));
    expect((await library.tokenize(model.id, 'Omeed likes')).map(({ id }) => id)).toEqual(
      (await library.tokenize('fairy-tale-gpt', 'Omeed likes')).map(({ id }) => id),
    );
    // Converted, it is such a folder again.
    const plan = { ...planOf('dyt'), weights: `${model.id}/${opened.norm}` };
    const taken = (await library.converted(plan, 3.25)).map(({ path, bytes }): [string, Uint8Array] => {
      if (bytes instanceof Blob) throw new Error('a small model is bytes');
      return [path, bytes];
    });
    const { model: again, checkpoint: converted } = await drop('', taken);
    expect(converted.norm).toBe('dyt');
    expect(again.license).toBe(info.license);
    for (const use of ['calibration', 'heldOut'] as const)
      expect(await library.windows(again.id, use)).toEqual(await library.windows('fairy-tale-gpt', use));
    expect(
      JSON.parse(new TextDecoder().decode(taken.find(([path]) => path === 'model.json')?.[1])),
    ).toMatchObject({ twins: { dyt: { heldOutLoss: 3.25 } } });
    const changed = files.map(([path, bytes]): [string, Uint8Array] =>
      path.endsWith(heldOut.path) ? [path, bytes.map((byte) => byte ^ 1)] : [path, bytes],
    );
    const { model: other } = await drop('', changed);
    await expect(library.windows(other.id, 'heldOut')).rejects.toThrow(/another file than the one/);
    // A configuration that names a norm is believed: tensors of another one are refused.
    const dyt = 'fairy-tale-gpt/dyt/';
    const mixed = bundled([`${dyt}config.json`, 'fairy-tale-gpt/layernorm/model.safetensors']);
    const [config, tensors] = mixed;
    if (!config || !tensors) throw new Error('there are two');
    await expect(drop('', [config, [`${dyt}model.safetensors`, tensors[1]]])).rejects.toThrow(
      /"h.0.ln_1.alpha".* is missing/,
    );
    const card = JSON.stringify({ schema: 'normscope/model/1', twins: 3 });
    const bad = files.map(([path, bytes]): [string, Uint8Array] =>
      path.endsWith('model.json') ? [path, new TextEncoder().encode(card)] : [path, bytes],
    );
    await expect(drop('', bad)).rejects.toMatchObject({ code: 'bad-file', hint: /save the model again/ });
  });

  test('of several norms says which stands where, and loads back bit for bit', async () => {
    const stays: Plan['sites'][string] = { norm: 'layernorm', source: 'twin', alphaScale: 1 };
    const own: Plan['sites'] = {
      'h.0.ln_1': fitted('derf', { ...scalarsAt('derf', 0.3), shift: [0.25] }),
      'h.2.ln_2': stays,
      ln_f: stays,
    };
    const others = { 'h.0.ln_1': 'derf', 'h.2.ln_2': 'layernorm', ln_f: 'layernorm' } as const;
    const plan = { ...planOf('dyt'), sites: { ...planOf('dyt').sites, ...own } };
    expect(membersOf(plan)).toEqual({ norm: 'dyt', others });
    const files = convertModel(checkpoint, info, plan, [], 3.5);
    for (const { path, bytes } of files) folder.set(`mixed/${path}`, bytes);
    folder.set(`mixed/${info.tokenizer.path}`, readBytes(`${MODEL_FOLDER}/${info.tokenizer.path}`));
    const again = await library.checkpoint('mixed/dyt');
    expect(again.config).toEqual({ ...checkpoint.config, norm: 'dyt', site_norms: others });
    const native = originalPlan('mixed/dyt', again.norm, sitesOf(again));
    for (const { id } of sites) {
      expect(thetaOf(native, again, id)).toEqual(thetaOf(plan, checkpoint, id));
    }
    // Dropped on the page, and converted once more: to one norm, which needs no list.
    const opened = await drop('mixed/', [...folder]);
    expect(opened.survey.sites).toEqual(sites.map((one) => ({ ...one, norm: native.sites[one.id]?.norm })));
    await sameModel(opened.checkpoint, again);
    const whole: Plan = { weights: 'mixed/dyt', sites: planOf('rmsnorm').sites };
    const config = convertModel(again, info, whole, [], 3.5).find(({ path }) => path.endsWith('config.json'));
    expect(JSON.parse(new TextDecoder().decode(config?.bytes))).toEqual({
      ...checkpoint.config,
      norm: 'rmsnorm',
    });
    const python = torchSnippet(plan, 'dyt/model.safetensors', 1e-5);
    for (const words of ['class DyT(', 'class Derf(', '"h.0.ln_1": Derf,', '"h.1.ln_1": DyT,'])
      expect(python).toContain(words);
    // What stays is the model's own.
    expect(python).not.toContain('LayerNorm');
  });

  /** A golden checkpoint of the transformers library, dropped. */
  const golden = (name: string): [string, Uint8Array][] =>
    readdirSync(fileUrl(`test/golden-hf/${name}`))
      .filter((file) => /^config\.json$|safetensors/.test(file))
      .map((file) => [file, readBytes(`test/golden-hf/${name}/${file}`)]);

  test.each(['gpt2', 'llama-gqa', 'mistral-sharded', 'qwen2-f16', 'bert', 'vit'])(
    'of an opened %s is one of its kind again',
    async (name) => {
      const first = await drop('', golden(name));
      const { weights: from, sites: places } = {
        weights: `${first.model.id}/${first.checkpoint.norm}`,
        sites: sitesOf(first.checkpoint),
      };
      const members: readonly NormId[] = ['dyt', 'rmsnorm', 'dyhardtanh', 'layernorm', 'none'];
      const plan: Plan = {
        weights: from,
        sites: Object.fromEntries(
          places.map(({ id, norm }, i) => {
            const member = members[i % members.length] ?? 'dyt';
            return [
              id,
              member === norm
                ? { norm: member, source: 'twin', alphaScale: 1 }
                : fitted(member, bends(member) ? scalarsAt(member, 0.1 * (i + 1)) : {}),
            ];
          }),
        ),
      };
      const files = await library.converted(plan, 0);
      const bytes = await Promise.all(
        files.map(async ({ path, bytes: of }): Promise<[string, Uint8Array]> => [
          path,
          of instanceof Blob ? new Uint8Array(await of.arrayBuffer()) : of,
        ]),
      );
      const { checkpoint: again } = await drop('', bytes);
      expect(sitesOf(again).map(({ id, norm }) => [id, norm])).toEqual(
        places.map(({ id }) => [id, plan.sites[id]?.norm]),
      );
      const native = originalPlan(from, again.norm, sitesOf(again));
      for (const { id } of places) {
        expect(thetaOf(native, again, id), id).toEqual(thetaOf(plan, first.checkpoint, id));
      }
      const [mine, theirs] = [
        (await onCpu(again)).file.tensors,
        (await onCpu(first.checkpoint)).file.tensors,
      ];
      const isOutside = (tensor: string): boolean => !places.some(({ id }) => tensor.startsWith(`${id}.`));
      const outside = [...theirs.keys()].filter(isOutside);
      expect([...mine.keys()].filter(isOutside).toSorted()).toEqual(outside.toSorted());
      for (const tensor of outside)
        expect(
          Buffer.compare(mine.get(tensor)?.bytes ?? Buffer.of(), theirs.get(tensor)?.bytes ?? Buffer.of()),
        ).toBe(0);
      // The configuration is the library's own, with one thing more.
      const { site_norms: said, ...config } = JSON.parse(
        new TextDecoder().decode(bytes.find(([path]) => path === 'config.json')?.[1]),
      ) as Record<string, unknown>;
      expect(config).toEqual(first.checkpoint.stored?.config);
      expect(Object.keys(said as object).length).toBeGreaterThan(0);
      // A site that stays is written as it was.
      for (const [of, { source }] of Object.entries(plan.sites)) {
        if (source !== 'twin') continue;
        const own = [...theirs].filter(([tensor]) => tensor.startsWith(`${of}.`));
        expect(own.length).toBeGreaterThan(0);
        for (const [tensor, { dtype, bytes: was }] of own) {
          expect(mine.get(tensor)?.dtype).toBe(dtype);
          expect(Buffer.compare(mine.get(tensor)?.bytes ?? Buffer.of(), was)).toBe(0);
        }
        expect([...mine.keys()].filter((tensor) => tensor.startsWith(`${of}.`))).toHaveLength(own.length);
      }
    },
  );

  test('that names a site which is not there, or holds another norm’s tensors, is refused', async () => {
    const config = (site_norms: Record<string, NormId>): [string, Uint8Array][] => [
      ['config.json', new TextEncoder().encode(JSON.stringify({ ...checkpoint.config, site_norms }))],
      ['model.safetensors', readBytes(`${MODEL_FOLDER}/layernorm/model.safetensors`)],
    ];
    await expect(drop('', config({ 'h.9.ln_1': 'dyt' }))).rejects.toThrow(
      /site_norms: there is no site "h.9.ln_1"/,
    );
    await expect(drop('', config({ ln_f: 'dyt' }))).rejects.toThrow(/"ln_f.alpha".*is missing/);
  });

  test('that no file can say is refused with a reason', () => {
    const plan = planOf('dyt');
    expect(() => membersOf(planOf('instancenorm'))).toThrow(/statistics from each prompt/);
    const apart = { ...plan, sites: { ...plan.sites, ln_f: fitted('dyt', {}, { alpha: [0.2] }) } };
    expect(() => convertWeights(checkpoint, apart)).toThrow(/first tokens have scalars of their own at ln_f/);
    expect(() => membersOf({ ...plan, sites: { ln_f: { ...fitted('dyt'), eps: 1 } } })).toThrow(/an ε/);
  });

  test('has a PyTorch module with the names of its tensors', () => {
    const python = torchSnippet(planOf('dyt'), 'dyt/model.safetensors', 1e-6);
    for (const name of ['self.alpha', 'self.weight', 'self.bias', 'torch.tanh', 'eps=0.000001'])
      expect(python).toContain(name);
    for (const id of NORM_IDS.filter((one) => methodsFor(one).includes('fine-tune'))) {
      const [, name] = /^class (\w+)\(nn\.Module\):$/m.exec(torchSnippet(planOf(id), 'x', 1e-5)) ?? [];
      expect(name, id).toMatch(/^(?!None$)[A-Z]\w+$/);
    }
  });

  test('windows come along, and are not the text to measure on', async () => {
    const [fit, held] = [
      await library.windows('fairy-tale-gpt', 'calibration'),
      await library.windows('fairy-tale-gpt', 'heldOut'),
    ];
    expect(fit?.map((window) => window.length)).toEqual(Array<number>(16).fill(256));
    expect(held?.map((window) => window.length)).toEqual(Array<number>(16).fill(257));
    expect(fit?.flat().every((id) => id < 2048)).toBe(true);
    const starts = new Set(fit?.map((window) => window.slice(0, 8).join()));
    expect(held?.some((window) => starts.has(window.slice(0, 8).join()))).toBe(false);
  });
});
