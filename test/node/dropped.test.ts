// Folders that were dropped, walked as a browser gives them: a part at a time.
import { expect, test } from 'vitest';
import { chosenFiles, walk } from '../../src/ui/dropped.ts';
import type { Entry } from '../../src/ui/dropped.ts';

const fileEntry = (fullPath: string): Entry => ({
  isDirectory: false,
  fullPath,
  file: (give) => give(new File(['x'], fullPath.split('/').at(-1) ?? '')),
});

function folderEntry(fullPath: string, children: Entry[], perPart = 2): Entry {
  return {
    isDirectory: true,
    fullPath,
    createReader: () => {
      let at = 0;
      return { readEntries: (give) => give(children.slice(at, (at += perPart))) };
    },
  };
}

test('a folder comes with all of its files and their paths', async () => {
  const shards = [1, 2, 3, 4, 5].map((n) => fileEntry(`/tiny/model-${n}.safetensors`));
  const inner = folderEntry('/tiny/onnx', [fileEntry('/tiny/onnx/model.onnx')]);
  const files = await walk([folderEntry('/tiny', [fileEntry('/tiny/config.json'), ...shards, inner])]);
  expect(files.map(({ path }) => path)).toEqual([
    'tiny/config.json',
    ...[1, 2, 3, 4, 5].map((n) => `tiny/model-${n}.safetensors`),
    'tiny/onnx/model.onnx',
  ]);
});

test('a folder that cannot be read says so', async () => {
  const locked: Entry = {
    isDirectory: true,
    fullPath: '/locked',
    createReader: () => ({ readEntries: (_give, fail) => fail(new Error('it is locked')) }),
  };
  await expect(walk([locked])).rejects.toThrow('it is locked');
});

test('chosen files are called by their path in the folder, else by their name', () => {
  const [loose, inFolder] = [new File([], 'a.json'), new File([], 'b.json')];
  Object.defineProperty(inFolder, 'webkitRelativePath', { value: 'tiny/b.json' });
  expect(chosenFiles([loose, inFolder]).map(({ path }) => path)).toEqual(['a.json', 'tiny/b.json']);
  expect(chosenFiles(null)).toEqual([]);
});
