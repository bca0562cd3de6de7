// WebGPU for Node: Dawn of the package `webgpu`, on a hardware GPU or, where there is none, on SwiftShader.
import { existsSync, readdirSync, readFileSync, realpathSync } from 'node:fs';
import { availableParallelism, constants, homedir } from 'node:os';
import { delimiter, dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { adapterName, describeAdapter } from '../gpu/device.ts';
import type { AdapterDescription, GpuHost } from '../gpu/device.ts';
import { Problem } from '../problem.ts';
import type { ProblemData } from '../problem.ts';
import type { RunRecord } from '../receipt/run.ts';
import type { Say } from './args.ts';

/** Browsers for the tests coarsen stamps to 65,536 ns against spying pages; here is no page. */
const DAWN_OPTIONS = ['disable-dawn-features=timestamp_quantization'];
const BROWSERS = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'microsoft-edge'];
const MANIFEST = 'vk_swiftshader_icd.json';
/** dlfcn.h: a library stays when its handle is closed. */
const RTLD_NODELETE = 0x1000;

const SOFTWARE = 'software adapter';
/** What a result says of the machine when no hardware computed it. */
export const SOFTWARE_REASON: ProblemData = {
  code: 'no-adapter',
  message: `${SOFTWARE}: the answers are right, the times say nothing about a GPU`,
  hint: 'Run it on a machine with a GPU.',
};

export const adapterWords = (adapter: AdapterDescription): string =>
  `${adapterName(adapter)}${adapter.isFallback ? ` (${SOFTWARE})` : ''}`;

function* playwrightFolders(): Generator<string> {
  const cache = process.env['PLAYWRIGHT_BROWSERS_PATH'] ?? join(homedir(), '.cache/ms-playwright');
  const inside = (folder: string): string[] =>
    existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  for (const browser of inside(cache)
    .filter((path) => /chrom/.test(path))
    .toSorted())
    for (const folder of inside(browser)) yield folder;
}

/** Folders where Vulkan's loader and SwiftShader may lie: the user's own, then those of the browsers here. */
function* vulkanFolders(): Generator<string> {
  const { NORMSCOPE_VULKAN, CHROME_PATH, PATH = '' } = process.env;
  if (NORMSCOPE_VULKAN) yield NORMSCOPE_VULKAN;
  const inPath = BROWSERS.flatMap((name) => PATH.split(delimiter).map((folder) => join(folder, name)));
  for (const program of [...(CHROME_PATH ? [CHROME_PATH] : []), ...inPath])
    if (existsSync(program)) yield dirname(realpathSync(program));
  // Debian's program is a script elsewhere.
  for (const name of BROWSERS) yield join('/usr/lib', name);
  yield* playwrightFolders();
}

function swiftShaderFolder(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  for (const folder of vulkanFolders()) if (existsSync(join(folder, MANIFEST))) return folder;
  return undefined;
}

/**
 * Dawn asks the system for `libvulkan.so.1`. Where the system has none, `folder`'s is loaded before: the dynamic
 * linker then knows it by that name. (LD_LIBRARY_PATH would do as well, but only for a new process.)
 */
function lendLoader(folder: string): void {
  for (const file of ['libvulkan.so.1', join(folder, 'libvulkan.so.1')])
    try {
      process.dlopen({ exports: {} }, file, constants.dlopen.RTLD_NOW | RTLD_NODELETE);
    } catch (thrown) {
      // Node always objects, as this is no addon of its own; the question is whether the file was there.
      if (!/cannot open shared object file/.test(String(thrown))) return;
    }
}

async function loadPackage(): Promise<typeof import('webgpu')> {
  try {
    return await import('webgpu');
  } catch (cause) {
    throw new Problem(
      'no-webgpu',
      `Cannot reach a GPU: the package "webgpu" (Dawn for Node) does not load: ${cause instanceof Error ? cause.message.split('\n')[0] : cause}`,
      'It is an optional dependency, for Linux, macOS and Windows on x64 and arm64: run `npm ci --include=optional`, or put node_modules/webgpu beside dist.',
      cause,
    );
  }
}

/**
 * A host for `Gpu.open`: a hardware GPU before a software one, unless `isSoftware` asks for that. Throws Problem
 * `no-webgpu` or `no-adapter`.
 */
export async function openDawn({ isSoftware }: { isSoftware: boolean }, say: Say): Promise<GpuHost> {
  const { create, globals } = await loadPackage();
  Object.assign(globalThis, globals);
  const folder = swiftShaderFolder();
  if (folder) lendLoader(folder);

  const attempt = async (): Promise<{ host: GpuHost; adapter: AdapterDescription | null }> => {
    const host = { gpu: create(DAWN_OPTIONS) };
    const adapter = await host.gpu.requestAdapter({ powerPreference: 'high-performance' });
    return { host, adapter: adapter && describeAdapter(adapter) };
  };

  const isChosen = ['VK_DRIVER_FILES', 'VK_ICD_FILENAMES'].some((name) => process.env[name]);
  const first = isSoftware && !isChosen && folder ? null : await attempt();
  if (first?.adapter && (isSoftware ? first.adapter.isFallback : !first.adapter.isFallback || isChosen))
    return first.host;
  if (folder) {
    if (!isSoftware) say('no hardware GPU here');
    process.env['VK_DRIVER_FILES'] = process.env['VK_ICD_FILENAMES'] = join(folder, MANIFEST);
    const { host, adapter } = await attempt();
    if (adapter) return host;
  }
  if (first?.adapter?.isFallback) return first.host;
  throw new Problem(
    'no-adapter',
    `Cannot reach a GPU: Dawn finds no ${isSoftware ? SOFTWARE : 'adapter, and SwiftShader is not here either'}`,
    `Install the GPU's driver with Vulkan, or Chromium, which brings SwiftShader (apt-get install chromium), or name the folder of ${MANIFEST} in NORMSCOPE_VULKAN.`,
  );
}

/** What stands where a page would name its browser. */
export function nodeDescription(): RunRecord['browser'] {
  const entry = fileURLToPath(import.meta.resolve('webgpu'));
  const { version } = JSON.parse(readFileSync(join(dirname(entry), 'package.json'), 'utf8')) as {
    version: string;
  };
  const brands = [`Node.js ${process.versions.node}`, `Dawn (webgpu ${version})`];
  return {
    userAgent: `${brands.join(', ')}, ${process.platform} ${process.arch}`,
    brands,
    platform: process.platform,
    logicalProcessors: availableParallelism(),
  };
}
