// Sites of a fit with a method or a place in the order of their own.
import { expect, test } from 'vitest';
import { fitAll, TUNE } from '../../src/fit/spec.ts';
import type { FitSpec } from '../../src/fit/spec.ts';
import {
  chooseOrder,
  fitDraftOf,
  fitSpecOf,
  isOrdered,
  moveSite,
  orderOf,
  ORDERS,
  setFitDraft,
  siteMethodOf,
  specOfReport,
  swapOrder,
} from '../../src/store/fit.ts';
import { createExperiment } from '../../src/store/store.ts';
import { fitReportOf } from './fit-report.ts';
import { ENVIRONMENT, INFO, SITES } from './fakes.ts';

const FAST = { ...ENVIRONMENT, adapter: { ...ENVIRONMENT.adapter, isFallback: false } };
const ids = SITES.map(({ id }) => id);

function open() {
  const store = createExperiment();
  const draft = () => fitDraftOf(store.getState().fit, FAST, INFO);
  return { store, draft, spec: () => fitSpecOf(draft(), INFO, SITES) };
}

test('a method of its own is asked for where it is another one and applies', () => {
  const { store, draft, spec } = open();
  const [one = '', two = '', three = ''] = ids;
  setFitDraft(store, { methods: { [one]: 'clip', [two]: 'sequential', [three]: 'moment' } });
  expect(spec().methods).toEqual({ [one]: 'clip', [three]: 'moment' });
  setFitDraft(store, { method: 'fine-tune' });
  expect(spec()).toMatchObject({ method: 'fine-tune', methods: { [one]: 'clip', [three]: 'moment' } });
  expect(siteMethodOf(draft(), two)).toBe('sequential');
  // What does not bend has no clip level.
  setFitDraft(store, { members: { [one]: 'rmsnorm' } });
  expect(spec().methods).toEqual({ [three]: 'moment' });
  setFitDraft(store, { method: 'least-squares', methods: {} });
  expect(spec().methods).toBeUndefined();
  expect(isOrdered(draft(), SITES)).toBe(false);
  setFitDraft(store, { methods: { [two]: 'sequential' } });
  expect(isOrdered(draft(), SITES)).toBe(true);
});

test('an order of its own is asked for, by name or by hand', () => {
  const { store, draft, spec } = open();
  expect(spec().order).toBeUndefined();
  for (const name of ORDERS) {
    chooseOrder(store, SITES, name);
    expect(orderOf(draft(), SITES)).toBe(name);
    expect(swapOrder(draft(), SITES).toSorted()).toEqual(ids.toSorted());
  }
  chooseOrder(store, SITES, 'backwards');
  expect(spec().order).toEqual(ids.toReversed());
  setFitDraft(store, { off: [ids[1] ?? ''] });
  expect(spec().order).toEqual(ids.filter((id) => id !== ids[1]).toReversed());
  setFitDraft(store, { off: [] });
  chooseOrder(store, SITES, 'running');
  const [one = '', two = '', ...others] = ids;
  moveSite(store, draft(), SITES, one, -1); // nothing is before it
  expect(spec().order).toBeUndefined();
  moveSite(store, draft(), SITES, one, 1);
  expect(spec().order).toEqual([two, one, ...others]);
  moveSite(store, draft(), SITES, one, -1);
  expect(spec().order).toBeUndefined();
});

test('come back out of a report', () => {
  const [one = '', two = ''] = ids;
  const spec: FitSpec = {
    ...fitAll('fairy-tale-gpt/layernorm', [one, two], 'dyt', 'fine-tune'),
    methods: { [two]: 'moment' },
    order: [two, one],
    tune: { ...TUNE, steps: 9 },
  };
  const report = fitReportOf(spec, { order: [two, one], tune: spec.tune });
  const sites = report.sites.map((site) =>
    site.site === two ? { ...site, method: 'moment' as const } : site,
  );
  const { methods, order, tune } = specOfReport({ ...report, sites });
  expect({ methods, order, tune }).toEqual({ methods: spec.methods, order: spec.order, tune: spec.tune });
});
