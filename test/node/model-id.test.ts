// Ids of models: what links may carry, and what they may not.
import { expect, test } from 'vitest';
import { MODEL_IDS } from '../../src/model/catalog.ts';
import { diskModelId, isBrought, modelIdFrom, modelName, placeOf } from '../../src/model/model-id.ts';

const DIGEST = 'ab'.repeat(32);

test.each([
  [MODEL_IDS[0], MODEL_IDS[0], 'page', MODEL_IDS[0]],
  ['openai/gpt2', 'hub:openai/gpt2@main', 'hub', 'openai/gpt2'],
  ['https://huggingface.co/a/b/tree/v1', 'hub:a/b@v1', 'hub', 'a/b@v1'],
  ['hub:a/b@refs/pr/1', 'hub:a/b@refs/pr/1', 'hub', 'a/b@refs/pr/1'],
  [diskModelId('my model!', DIGEST), 'disk:my-model-@abababababababab', 'disk', 'my-model-'],
])('%s is %s', (text, id, kind, name) => {
  expect(modelIdFrom(text)).toBe(id);
  expect(placeOf(id)?.kind).toBe(kind);
  expect(modelName(id)).toBe(name);
  expect(isBrought(id)).toBe(kind !== 'page');
});

test.each([
  '',
  'nothing',
  'hub:',
  'hub:a/../b',
  'hub:a/b@..',
  'a/b/c',
  'disk:a/b@abababababababab',
  'disk:a@abc',
  `disk:${'a'.repeat(61)}@abababababababab`,
  'https://evil.test/a/b',
  '//evil/a',
  'javascript:alert(1)',
  'a/b?x=1',
  'a/b#x',
  'a/b\n',
  '__proto__',
])('%s is no model', (text) => {
  expect(modelIdFrom(text)).toBe(text === 'a/b\n' ? 'hub:a/b@main' : undefined);
  expect(placeOf(text)).toBeUndefined();
});

test('a disk’s model without a usable name has one', () => {
  expect(placeOf(diskModelId('模型', DIGEST))).toMatchObject({ kind: 'disk' });
  expect(placeOf(diskModelId('', DIGEST))).toEqual({ kind: 'disk', name: 'model' });
});
