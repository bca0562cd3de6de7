// The rules of the house, held by reading the source tree: who may import whom, which word may stand where, and
// that registry and shaders say the same.
import { readdirSync } from 'node:fs';
import { posix } from 'node:path';
import { describe, expect, test } from 'vitest';
import { usedLibraries } from '../../src/kernel/compile.ts';
import { GALLERY_IDS, MAIN_NORM_IDS, NORM_IDS, normSpec } from '../../src/norm/registry.ts';
import { fileUrl, readText } from './fakes.ts';

/** Lowest first. A file imports from its own folder and from floors below it; neighbours on a floor are strangers. */
const FLOORS: readonly (readonly string[])[] = [
  ['problem.ts', 'vite-env.d.ts'],
  ['norm', 'gpu', 'format'],
  ['kernel'],
  ['model'],
  ['bench', 'fit', 'onnx'],
  ['engine'],
  ['receipt'],
  ['store', 'cli'],
  ['ui'],
  ['main.tsx', 'cli.ts'],
];

const filesUnder = (folder: string): string[] =>
  readdirSync(fileUrl(folder), { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => posix.join(entry.parentPath, entry.name).slice(fileUrl(folder).pathname.length + 1))
    .toSorted();

const withoutComments = (source: string): string =>
  source.replace(/\/\*[\s\S]*?\*\//g, '').replace(/(^|\s)\/\/.*$/gm, '$1');

/** Everything a module names as another: imports of values and types, dynamic ones, and files by URL. */
const importsOf = (source: string): string[] =>
  [
    ...withoutComments(source).matchAll(
      /(?:\bfrom\s*|\bimport\s*\(?\s*|\bnew URL\(\s*)(['"`])(?<name>[^'"`]+)\1/g,
    ),
  ].map(({ groups }) => groups?.['name'] ?? '');

/** The first folder, or the file itself at the top. */
const homeOf = (file: string): string => file.split('/')[0] ?? file;
const floorOf = (file: string): number => FLOORS.findIndex((homes) => homes.includes(homeOf(file)));

/** What breaks the floors among `imports`, a record of a file and what it imports. */
function layerViolations(imports: Readonly<Record<string, readonly string[]>>): string[] {
  return Object.entries(imports).flatMap(([file, names]) => {
    if (floorOf(file) < 0) return [`${file} is on no floor`];
    return names
      .filter((name) => name.startsWith('.'))
      .map((name) => posix.join(posix.dirname(file), name.replace(/\?.*$/, '')))
      .filter(
        (target) =>
          homeOf(target) !== homeOf(file) && !(floorOf(target) < floorOf(file) && floorOf(target) >= 0),
      )
      .map((target) => `${file} imports ${target}`);
  });
}

const SOURCES: Readonly<Record<string, string>> = Object.fromEntries(
  filesUnder('src').map((file) => [file, readText(`src/${file}`)]),
);
const CODE = Object.entries(SOURCES)
  .filter(([file]) => /\.tsx?$/.test(file))
  .map(([file, source]) => ({ file, code: withoutComments(source), imports: importsOf(source) }));

describe('floors', () => {
  test('every file stands on a floor and imports only from below', () => {
    const imports = Object.fromEntries(Object.keys(SOURCES).map((file): [string, string[]] => [file, []]));
    for (const { file, imports: names } of CODE) imports[file] = names;
    expect(CODE.length).toBeGreaterThan(25);
    expect(layerViolations(imports)).toEqual([]);
  });

  test.each<[string, string, string]>([
    ['reaches up', 'gpu/device.ts', `import type { Engine } from '../engine/api.ts';`],
    ['reaches over', 'norm/registry.ts', `import { Gpu } from '../gpu/device.ts';`],
    ['reaches over in pieces', 'bench/timings.ts', `import {\n  fit,\n} from "../fit/alpha.ts";`],
    ['reaches up by name alone', 'model/plan.ts', `import '../main.tsx';`],
    ['re-exports from above', 'kernel/norm.ts', `export * from '../model/plan.ts';`],
    ['reaches up later', 'store/store.ts', `const { App } = await import('../ui/App.tsx');`],
    [
      'starts a worker from above',
      'store/store.ts',
      `new Worker(new URL('../ui/worker.ts', import.meta.url))`,
    ],
    ['reaches out of src', 'ui/App.tsx', `import { x } from '../../test/cases/norm.ts';`],
    ['has no home', 'utils/misc.ts', ''],
  ])('a file that %s is caught', (_name, file, source) => {
    expect(layerViolations({ [file]: importsOf(source) })).toHaveLength(1);
  });

  test.each<[string, string]>([
    [
      'ui/panels/Tokens.tsx',
      `import { useRun } from '../hooks.ts';\nimport { NORMS } from '../../norm/registry.ts';`,
    ],
    ['main.tsx', `import W from './engine/worker.ts?worker';\nimport React from 'react';`],
    ['gpu/device.ts', `// as in import x from '../engine/api.ts'\nimport { Problem } from '../problem.ts';`],
  ])('%s may import downwards', (file, source) => {
    expect(layerViolations({ [file]: importsOf(source) })).toEqual([]);
  });
});

describe('packages stay where they belong', () => {
  test.each<[string, RegExp]>([
    ['react', /^(ui\/|main\.tsx$)/],
    ['react-dom', /^(ui\/|main\.tsx$)/],
    ['zustand', /^(store|ui)\//],
    ['katex', /^ui\//],
    ['@codemirror', /^ui\/own\/editor\.ts$/],
    ['onnxruntime-web', /^onnx\//],
    ['@huggingface/tokenizers', /^format\/tokenizer\.ts$/],
  ])('%s only in %s', (name, where) => {
    const users = CODE.filter(({ imports }) => imports.some((i) => i === name || i.startsWith(`${name}/`)));
    expect(users.map(({ file }) => file).filter((file) => !where.test(file))).toEqual([]);
  });
});

describe('words stay where they belong', () => {
  test.each<[string, RegExp, RegExp]>([
    ['console', /\bconsole\./, /^(main\.tsx|engine\/worker\.ts|cli\.ts)$/],
    ['document and window', /\b(document|window)\b/, /^(ui\/|main\.tsx$)/],
    // onnxruntime may bring a device of its own, whose buffers our accounts do not know.
    ['createBuffer', /\bcreateBuffer\(/, /^gpu\/device\.ts$|^onnx\/baseline\.ts$/],
    ['navigator.gpu', /\bnavigator\.gpu\b/, /^gpu\/device\.ts$/],
    [
      'a GPU type',
      /\bGPU[A-Z]\w+/,
      /^(gpu|kernel|model)\/|^engine\/(device-session|contest|bench-baselines)\.ts$|^onnx\/baseline\.ts$|^vite-env\.d\.ts$/,
    ],
  ])('%s', (_name, word, where) => {
    const users = CODE.filter(({ code }) => word.test(code)).map(({ file }) => file);
    expect(users.filter((file) => !where.test(file))).toEqual([]);
  });
});

describe('a norm id is spelled in the registry only', () => {
  /** Files that say 'none' and mean none of something else. */
  const PLAIN_NONE: Readonly<Record<string, string>> = {
    'receipt/run.ts': 'statisticsFrom: the member takes none',
    'receipt/schema.ts': 'statisticsFrom: the member takes none',
  };
  /** Tensors of other people's checkpoints that are called like a member. */
  const TENSOR_NAMES: Readonly<Record<string, string>> = {
    'model/families/vit.ts': 'layernorm',
  };
  /** Values of SVG attributes and CSS properties. */
  const STYLE_NONE =
    /\b(fill|stroke|display|outline|pointerEvents|preserveAspectRatio|border\w+Style)(=|: | [!=]== )(['"])none\3/g;

  const spelled = (code: string, ids: readonly string[]): string[] =>
    ids.filter((id) => new RegExp(`(['"\`])${id}\\1`).test(code.replace(STYLE_NONE, '')));
  const idsIn = (file: string, code: string): string[] =>
    spelled(
      code,
      NORM_IDS.filter((id) => (id !== 'none' || !(file in PLAIN_NONE)) && id !== TENSOR_NAMES[file]),
    );

  test('no file but the registry quotes one', () => {
    const found = CODE.filter(({ file }) => file !== 'norm/registry.ts').flatMap(({ file, code }) =>
      idsIn(file, code).map((id) => `${file} spells ${id}`),
    );
    expect(found).toEqual([]);
  });

  test('nor is one the name of a property, outside the references', () => {
    const found = CODE.filter(({ file, code }) =>
      NORM_IDS.some(
        (id) => id !== 'none' && id !== TENSOR_NAMES[file] && new RegExp(`\\b${id}\\b`).test(code),
      ),
    ).map(({ file }) => file);
    expect(found).toEqual(['norm/onnx.ts', 'norm/reference.ts', 'norm/registry.ts']);
  });

  test('every exception is still needed', () => {
    for (const file of Object.keys(PLAIN_NONE))
      expect(spelled(withoutComments(SOURCES[file] ?? ''), ['none'])).toEqual(['none']);
    for (const [file, id] of Object.entries(TENSOR_NAMES))
      expect(spelled(withoutComments(SOURCES[file] ?? ''), [id])).toEqual([id]);
  });

  test.each([
    [`if (id === 'dyt') return;`, ['dyt']],
    ['const base = "layernorm";', ['layernorm']],
    ['const path = `rmsnorm`;', ['rmsnorm']],
    [`const base = 'none';`, ['none']],
    [`<path fill="none" />; style={{ display: 'none' }}`, []],
    [`const label = 'DyT';`, []],
  ])('%s', (code, want) => {
    expect(idsIn('ui/App.tsx', code)).toEqual(want);
  });
});

describe('what is shown can be taken along', () => {
  const UI = CODE.filter(({ file }) => file.startsWith('ui/'));
  const importersOf = (file: string) =>
    UI.filter((one) =>
      one.imports.some((name) => name.startsWith('.') && posix.join(posix.dirname(one.file), name) === file),
    );
  /** The file has the menu that saves a figure, or everybody who draws it has. */
  function isKept(file: string): boolean {
    if (/\buseFigure\b.*\(/.test(SOURCES[file] ?? '')) return true;
    const users = importersOf(file).filter((one) => one.file !== file);
    return users.length > 0 && users.every((one) => isKept(one.file));
  }

  /** A picture that somebody brought: they have it. */
  const BROUGHT = 'ui/models/PictureBar.tsx';

  test('every figure can be saved', () => {
    const drawn = UI.filter(
      ({ file, code }) =>
        file !== BROUGHT && (/<(svg|canvas)\b/.test(code) || /^ui\/charts\/[A-Z]/.test(file)),
    );
    expect(drawn.length).toBeGreaterThan(6);
    expect(drawn.map(({ file }) => file).filter((file) => !isKept(file))).toEqual([]);
    expect(isKept('ui/controls/Badge.tsx')).toBe(false);
  });

  test('every table can be copied', () => {
    const makers = UI.filter(({ code }) => /<table\b/.test(code)).map(({ file }) => file);
    expect(makers).toEqual(['ui/controls/DataTable.tsx']);
  });
});

describe('shaders', () => {
  const SHADERS = filesUnder('shaders').map((path) => {
    const source = readText(`shaders/${path}`);
    const name = posix.basename(path, '.wgsl').replace(/^_(?!io$)/, '');
    return { path, name, source, header: /^(\/\/.*\n)+/.exec(source)?.[0] ?? '' };
  });
  const memberPath = (id: string): string => `norm/${id}.wgsl`;

  test('registry and shaders/norm are one to one; files with a leading _ are no members', () => {
    const members = SHADERS.filter(({ path }) => /^norm\/[^_]/.test(path)).map(({ path }) => path);
    expect(members).toEqual(NORM_IDS.map(memberPath).toSorted());
  });

  test.each(NORM_IDS)('%s cites the paper of its entry', (id) => {
    const header = SHADERS.find(({ path }) => path === memberPath(id))?.header ?? '';
    expect(header).toContain(`\n//   paper:   `);
    expect(header).toContain(normSpec(id).paper);
  });

  test.each(SHADERS)('$path says what it is', ({ path, name, header }) => {
    expect(path).toMatch(/^[a-z]+\/_?[a-z0-9_]+\.wgsl$/);
    if (name === '_io') {
      expect(header).toMatch(/^\/\/ [A-Z].*[.:]/);
    } else {
      expect(header.startsWith(`// ${name}: `)).toBe(true);
      expect(header).toMatch(/^\/\/ {3}over: {4}\S/m);
    }
  });

  test('every library that is named exists, every library is named, and none needs another', () => {
    const named = new Set(SHADERS.flatMap(({ source }) => usedLibraries(source)));
    // Chosen in kernel/, by the weights' dtype and by K.
    const hostNamed = ['f16', 'bf16', 'f32'].flatMap((dtype) => [`weight_${dtype}`, `weight_${dtype}_quads`]);
    const libraries = SHADERS.filter(({ path }) => path.startsWith('lib/'));
    expect([...named, ...hostNamed].toSorted()).toEqual(libraries.map(({ name }) => name));
    expect(libraries.filter(({ source }) => usedLibraries(source).length)).toEqual([]);
  });
});

test.each(GALLERY_IDS)('the README names %s of the gallery', (id) => {
  expect(readText('README.md')).toContain(normSpec(id).label);
});

test.each(MAIN_NORM_IDS)('the README has a row for %s', (id) => {
  const { label, paper } = normSpec(id);
  const row = readText('README.md')
    .split('\n')
    .map((line) => line.split('|').map((cell) => cell.trim()))
    .find(([, name]) => name === label);
  expect(row).toContain(paper);
});
