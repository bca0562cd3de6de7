// A member's WGSL as a person wrote it: how it takes the member's place in a kernel, and what can be told of the text
// before a compiler sees it.
import { normSpec } from '../norm/registry.ts';
import type { NormId } from '../norm/registry.ts';
import { bindingsOf, SHADER_NAMES, shaderSource, usedLibraries } from './compile.ts';
import type { Complaint, KernelSpec, PlannedKernel } from './compile.ts';
import { memberInMemory } from './norm.ts';

/** `source` stands in for the WGSL of `norm`: its parameters, and what it looks over, stay those of the member. */
export type OwnNorm = { readonly norm: NormId; readonly source: string };

const fileOf = (norm: NormId): string => `norm/${norm}`;

/** The WGSL that a member comes with. */
export const memberSource = (norm: NormId): string => shaderSource(fileOf(norm));

/** The kernel with a person's text where it has the member's own. */
export function withOwn(spec: KernelSpec, own: OwnNorm | undefined): KernelSpec {
  if (!own || !spec.files.includes(fileOf(own.norm))) return spec;
  return { ...spec, texts: { [fileOf(own.norm)]: own.source } };
}

/** What the carriers call of a member, as norm/_io.wgsl lists it. */
const CALLED = {
  statistics: 'statistics(row: u32, lane: u32) -> vec3f',
  core: 'core(x: f32, c: u32, stat: vec3f) -> f32',
  drive: 'drive(x: f32, sigma: f32) -> f32',
  slope: 'slope(u: f32) -> f32',
} as const;
/** And of one that takes no sum over the row. */
const CALLED_FLAT = {
  known: 'known(c: u32) -> vec3f',
  core_known: 'core_known(x: f32, c: u32, own: vec3f) -> f32',
} as const;

/** The text with every comment blanked out, place by place. */
const withoutComments = (source: string): string =>
  source.replace(/\/\/[^\n\r]*|\/\*[\s\S]*?(?:\*\/|$)/g, (comment) => comment.replace(/[^\n\r]/g, ' '));

const CLOSES: Readonly<Record<string, string>> = { ')': '(', ']': '[', '}': '{' };

/** Index of a bracket that has no partner, and what is wrong with it; null where all of them have one. */
function unpaired(code: string): { readonly at: number; readonly message: string } | null {
  const open: number[] = [];
  for (const { 0: sign, index } of code.matchAll(/[()[\]{}]/g)) {
    const wanted = CLOSES[sign];
    if (wanted === undefined) {
      open.push(index);
      continue;
    }
    const last = open.pop();
    if (last === undefined) return { at: index, message: `this ${sign} closes nothing` };
    if (code[last] !== wanted)
      return { at: last, message: `this ${code[last]} is not closed before a ${sign}` };
  }
  const last = open.pop();
  return last === undefined ? null : { at: last, message: `this ${code[last]} is never closed` };
}

/** Steps of loops that a member may take for one value, or for the statistics of one row. */
const MOST_STEPS = 65_536;

/** Every loop of the text: where its word stands, and where its body begins. */
function loopsOf(source: string): { readonly at: number; readonly word: string; readonly body: number }[] {
  const code = withoutComments(source);
  return [...code.matchAll(/\b(?:loop|while|for)\b/g)].flatMap(({ 0: word, index }) => {
    const open = code.indexOf('{', index);
    return open < 0 ? [] : [{ at: index, word, body: open + 1 }];
  });
}

/**
 * A kernel that runs the text once over x[T, C] with every loop of it counted; null where it has none. Buffers: x,
 * theta, y, run, and `endless`, which gets the number of a loop that did not end, from 1.
 */
export function trialKernel({ norm, source }: OwnNorm, C: number): PlannedKernel | null {
  const loops = loopsOf(source);
  if (loops.length === 0) return null;
  const counted = loops.reduceRight(
    (text, { body }, i) => `${text.slice(0, body)} if (looped(${i + 1}u)) { break; }${text.slice(body)}`,
    source,
  );
  const { files, constants } = memberInMemory(norm, { C, eps: 1e-5, dtype: 'f32', hasResidual: false });
  return {
    spec: {
      files: [...files, 'norm/_trial'],
      entry: 'forward',
      constants: { ...constants, MOST_STEPS },
      texts: { [fileOf(norm)]: counted },
    },
    workgroups: (T) => [T],
  };
}

/** What is said of the loop with this number, from 1. */
export function endlessLoop({ norm, source }: OwnNorm, loop: number): Complaint {
  const { at = 0, word = '' } = loopsOf(source)[loop - 1] ?? {};
  const message = `this ${word === 'loop' ? word : `${word} loop`}, or one around it, took over ${MOST_STEPS.toLocaleString('en')} steps for one value: it does not end`;
  return complaintAt({ norm, source }, at, word.length, message);
}

/** A complaint about a place in the text. */
function complaintAt({ norm, source }: OwnNorm, index: number, length: number, message: string): Complaint {
  const before = source.slice(0, index).split(/\r\n?|\n/);
  const column = 1 + (before.at(-1)?.length ?? 0);
  return { file: `${fileOf(norm)}.wgsl`, isOwn: true, line: before.length, column, length, message };
}

/**
 * What is wrong with the text as a member, whatever a compiler says of it: a library that does not exist, a bracket
 * without its partner (the compiler would find it in the file after), a binding of its own, a function that the
 * carriers call and nobody gives.
 */
export function mistakesOf(own: OwnNorm): Complaint[] {
  const { norm, source } = own;
  const code = withoutComments(source);
  const at = (index: number, length: number, message: string): Complaint =>
    complaintAt(own, index, length, message);
  const libraries = usedLibraries(source);
  const unknown = libraries.filter((name) => !SHADER_NAMES.includes(`lib/${name}`));
  if (unknown.length > 0) {
    const uses = /^\/\/\s+uses:/m.exec(source)?.index ?? 0;
    return unknown.map((name) =>
      at(
        Math.max(uses, source.indexOf(name, uses)),
        name.length,
        `there is no library "${name}" under shaders/lib`,
      ),
    );
  }
  const bracket = unpaired(code);
  if (bracket) return [at(bracket.at, 1, bracket.message)];
  if (bindingsOf(source).length > 0) {
    const found = Math.max(0, source.search(/@group|@binding/));
    return [at(found, 6, 'a member has no bindings of its own: it reads theta, and x by chunk()')];
  }
  const all = [code, ...libraries.map((name) => withoutComments(shaderSource(`lib/${name}`)))].join('\n');
  const called = { ...CALLED, ...(normSpec(norm).over === 'token' ? {} : CALLED_FLAT) };
  return Object.entries(called)
    .filter(([name]) => !new RegExp(`\\bfn\\s+${name}\\s*\\(`).test(all))
    .map(([, signature]) => at(0, 0, `no function ${signature}: give it, or name a library that does`));
}
