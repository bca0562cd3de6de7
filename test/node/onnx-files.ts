// Files that real exporters wrote, see test/onnx-files, as sources for the reader; and onnxruntime as Node has it.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import type { OnnxSource } from '../../src/onnx/read.ts';
import { readOnnx } from '../../src/onnx/read.ts';
import type { OnnxModel } from '../../src/onnx/read.ts';
import { findSites } from '../../src/onnx/sites.ts';
import type { OnnxSite } from '../../src/onnx/sites.ts';
import { fileUrl } from './fakes.ts';

// Vite cannot bundle onnxruntime's Node build: it is required as Node would.
export const ort = createRequire(import.meta.url)('onnxruntime-web') as typeof import('onnxruntime-web');
ort.env.logLevel = 'error';

export const sourceOf = (name: string, bytes: Uint8Array): OnnxSource => ({
  name,
  sizeBytes: bytes.length,
  read: async (offset, length) => bytes.slice(offset, offset + length),
});

export const bytesOf = (file: string): Uint8Array =>
  new Uint8Array(readFileSync(fileUrl(`test/onnx-files/${file}`)));
export const fileSource = (file: string): OnnxSource => sourceOf(file, bytesOf(file));

export async function openFile(name: string): Promise<{ model: OnnxModel; sites: OnnxSite[] }> {
  const files = name.startsWith('gpt2') ? [`${name}.onnx`, `${name}.onnx.data`] : [`${name}.onnx`];
  const model = await readOnnx(files.map(fileSource));
  return { model, sites: findSites(model) };
}
