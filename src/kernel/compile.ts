// From shaders/**/*.wgsl to pipelines: joins a kernel with its family's _io file, the libraries it names and the
// host's constants, reads the bindings off the WGSL (the only place they are declared), and maps a compiler's
// complaint back to the file and line that a person wrote.
import type { Gpu, GpuBuffer } from '../gpu/device.ts';
import { Problem } from '../problem.ts';

const SOURCES: Readonly<Record<string, string>> = Object.fromEntries(
  Object.entries(
    import.meta.glob<string>('../../shaders/**/*.wgsl', { query: '?raw', import: 'default', eager: true }),
  ).map(([path, text]) => [path.replace(/^.*\/shaders\/|\.wgsl$/g, ''), text]),
);

/** Every kernel and library by its path under shaders/, without the ending. */
export const SHADER_NAMES: readonly string[] = Object.keys(SOURCES);

export function shaderSource(name: string): string {
  const source = SOURCES[name];
  if (source === undefined)
    throw new RangeError(`Cannot find shader "${name}": shaders/${name}.wgsl does not exist`);
  return source;
}

export type Constants = Readonly<Record<string, number | boolean | { readonly f32: number }>>;

type Binding = {
  readonly name: string;
  readonly group: number;
  readonly binding: number;
  readonly type: GPUBufferBindingType;
};

export type Kernel = {
  readonly label: string;
  /** The whole module as it was compiled. */
  readonly code: string;
  readonly pipeline: GPUComputePipeline;
  readonly bindings: readonly Binding[];
};

export type KernelSpec = {
  /** Files under shaders/ in the order they are joined; libraries named in their `uses:` lines come before them. */
  readonly files: readonly string[];
  readonly entry: string;
  readonly constants: Constants;
  /** By file: a person's own text that stands in for it. */
  readonly texts?: Readonly<Record<string, string>>;
};

/** What is wrong in a file, where a person sees it: lines and columns count from 1. */
export type Complaint = {
  /** Under shaders/, or `constants` for what the host wrote. */
  readonly file: string;
  /** In a person's own text. */
  readonly isOwn: boolean;
  readonly line: number;
  readonly column: number;
  /** Characters it is about; 0 where nobody knows. */
  readonly length: number;
  readonly message: string;
};

/** A kernel that did not compile, with all that the compiler said of it. */
export class ShaderProblem extends Problem {
  readonly complaints: readonly Complaint[];
  constructor(where: string, why: string, complaints: readonly Complaint[] = []) {
    const isOwn = complaints.some((complaint) => complaint.isOwn);
    super(
      'shader',
      `Cannot compile ${where}: ${why}`,
      isOwn
        ? 'Open its WGSL in the editor, where the line is marked, or reset it.'
        : 'Report this line together with your GPU and browser.',
    );
    this.complaints = complaints;
  }
}

/** A kernel with the grid it wants for T rows. */
export type PlannedKernel = {
  readonly spec: KernelSpec;
  readonly workgroups: (T: number) => readonly [number, number?, number?];
};

function headerList(source: string, key: 'uses' | 'needs'): string[] {
  const line = new RegExp(`^//\\s+${key}:(.*)$`, 'm').exec(source)?.[1] ?? '';
  return line
    .split(',')
    .map((name) => name.trim())
    .filter(Boolean);
}

/** Libraries a file names in its header line `//   uses:    a, b`. */
export const usedLibraries = (source: string): string[] => headerList(source, 'uses');
/** Extensions of WGSL a file names in its header line `//   needs:   subgroups`. */
export const neededExtensions = (source: string): string[] => headerList(source, 'needs');

function constantLine(name: string, value: Constants[string]): string {
  if (typeof value === 'boolean') return `const ${name} = ${value};`;
  if (typeof value === 'number') return `const ${name} = ${value}u;`;
  return `const ${name} = f32(${value.f32});`;
}

type Segment = { readonly file: string; readonly start: number; readonly isOwn: boolean };
type Joined = { readonly code: string; readonly segments: readonly Segment[] };

/**
 * A person's text with the line ends of ours: one to each of theirs, so that lines stay what their editor says. Rarer
 * characters that end a line in WGSL and not in an editor become spaces.
 */
const ownLines = (text: string): string =>
  text.replace(/\r\n?/g, '\n').replace(/[\v\f\u0085\u2028\u2029]/g, ' ');

/** The module text and where in it each file starts (0-based line). */
export function joinSources({
  files,
  constants,
  texts = {},
}: Pick<KernelSpec, 'files' | 'constants' | 'texts'>): Joined {
  const textOf = (file: string): string => {
    const own = texts[file];
    return own === undefined ? shaderSource(file) : ownLines(own);
  };
  const libraries = [
    ...new Set(files.flatMap((file) => usedLibraries(textOf(file)).map((lib) => `lib/${lib}`))),
  ];
  const extensions = new Set([...libraries, ...files].flatMap((file) => neededExtensions(textOf(file))));
  const lines = [
    ...[...extensions].map((name) => `enable ${name};`),
    '// constants of the host',
    ...Object.entries(constants).map(([name, value]) => constantLine(name, value)),
  ];
  const segments: Segment[] = [HOST];
  for (const file of [...libraries, ...files]) {
    segments.push({ file: `${file}.wgsl`, start: lines.length, isOwn: texts[file] !== undefined });
    lines.push(...textOf(file).trimEnd().split('\n'));
  }
  return { code: `${lines.join('\n')}\n`, segments };
}

const HOST: Segment = { file: 'constants', start: 0, isOwn: false };

/** A message about the joined module as one about the file that a person wrote. */
export function complaintOf(
  {
    lineNum,
    linePos,
    length,
    message,
  }: Pick<GPUCompilationMessage, 'lineNum' | 'linePos' | 'length' | 'message'>,
  segments: readonly Segment[],
): Complaint {
  const { file, start, isOwn } = segments.findLast((segment) => segment.start < lineNum) ?? HOST;
  return { file, isOwn, line: lineNum - start, column: linePos, length, message };
}

const BINDING =
  /@group\((\d)\)\s*@binding\((\d+)\)\s*var<(storage|uniform)(?:,\s*(read|read_write))?>\s*(\w+)/g;

export function bindingsOf(code: string): Binding[] {
  return [...code.matchAll(BINDING)].map(([, group, binding, space, access, name]) => ({
    name: name ?? '',
    group: Number(group),
    binding: Number(binding),
    type: space === 'uniform' ? 'uniform' : access === 'read_write' ? 'storage' : 'read-only-storage',
  }));
}

/** Compiled kernels of one device, by their whole text: the same kernel is compiled once, also when asked for twice at once. */
export class Compiler {
  readonly #gpu: Gpu;
  readonly #kernels = new Map<string, Promise<Kernel>>();
  /** Pipelines made so far. */
  compiled = 0;

  constructor(gpu: Gpu) {
    this.#gpu = gpu;
  }

  kernel(spec: KernelSpec): Promise<Kernel> {
    const joined = joinSources(spec);
    const key = `${spec.entry}\n${joined.code}`;
    let kernel = this.#kernels.get(key);
    if (!kernel) {
      kernel = this.#compile(spec, joined);
      kernel.catch(() => this.#kernels.delete(key));
      this.#kernels.set(key, kernel);
    }
    return kernel;
  }

  async #compile({ files, entry }: KernelSpec, { code, segments }: Joined): Promise<Kernel> {
    const { device } = this.#gpu;
    const label = `${files.at(-1)}:${entry}`;
    device.pushErrorScope('validation');
    const module = device.createShaderModule({ label, code });
    const bindings = bindingsOf(code);
    const groups = Math.max(...bindings.map((b) => b.group)) + 1;
    const layout = device.createPipelineLayout({
      bindGroupLayouts: Array.from({ length: groups }, (_, group) =>
        device.createBindGroupLayout({
          entries: bindings
            .filter((b) => b.group === group)
            .map(({ binding, type }) => ({ binding, visibility: GPUShaderStage.COMPUTE, buffer: { type } })),
        }),
      ),
    });
    const pipeline = device.createComputePipelineAsync({
      label,
      layout,
      compute: { module, entryPoint: entry },
    });
    pipeline.catch(() => undefined); // told below; it may be refused before anybody listens
    const scope = device.popErrorScope();
    const info = await module.getCompilationInfo();
    const complaints = info.messages
      .filter(({ type }) => type === 'error')
      .map((message) => complaintOf(message, segments));
    const [first] = complaints;
    if (first) {
      await scope;
      const { file, isOwn, line, column, message } = first;
      throw new ShaderProblem(`${isOwn ? 'your own ' : ''}${file}:${line}:${column}`, message, complaints);
    }
    try {
      const made = await this.#gpu.settle(pipeline);
      const error = await scope;
      if (error) throw new Error(error.message);
      this.compiled += 1;
      return { label, code, pipeline: made, bindings };
    } catch (cause) {
      if (cause instanceof Problem) throw cause;
      throw new ShaderProblem(label, cause instanceof Error ? cause.message : String(cause));
    }
  }

  /**
   * Bind groups of a kernel, buffers given by the names its WGSL declares; `run` is the run's uniform. A name that
   * ends in 4 (`theta4`) is the buffer without it, seen four values at a time.
   */
  bind(kernel: Kernel, buffers: Readonly<Record<string, GpuBuffer>>): GPUBindGroup[] {
    const groups: GPUBindGroup[] = [];
    for (const { group } of kernel.bindings) {
      groups[group] ??= this.#gpu.device.createBindGroup({
        label: kernel.label,
        layout: kernel.pipeline.getBindGroupLayout(group),
        entries: kernel.bindings
          .filter((b) => b.group === group)
          .map(({ name, binding }) => {
            const buffer = buffers[name] ?? buffers[name.replace(/4$/, '')];
            if (!buffer) throw new TypeError(`Cannot bind "${kernel.label}": no buffer given for "${name}"`);
            return { binding, resource: { buffer: buffer.raw } };
          }),
      });
    }
    return groups;
  }
}
