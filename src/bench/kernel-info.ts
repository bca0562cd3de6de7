// A compiled kernel as a receipt names it: by the hash of its whole text.
import { sha256 } from '../format/fetch.ts';
import type { Constants, Kernel } from '../kernel/compile.ts';
import type { KernelInfo } from './spec.ts';

/** Invocations of a workgroup in x, y, z as the WGSL says; constants by name are looked up in the module. */
function workgroupSize(code: string): number[] {
  const sizes = /@workgroup_size\(([^)]*)\)/.exec(code)?.[1] ?? '';
  return sizes
    .split(',')
    .filter((size) => size.trim())
    .map((size) => {
      const name = size.trim();
      const value = new RegExp(`const ${name}\\s*=\\s*(\\d+)`).exec(code)?.[1] ?? name;
      return Number.parseInt(value, 10);
    });
}

export function kernelInfo(
  { label, code }: Pick<Kernel, 'label' | 'code'>,
  constants: Constants,
): KernelInfo {
  const hash = sha256(new TextEncoder().encode(code));
  return {
    id: `${label}#${hash.slice(0, 8)}`,
    sha256: hash,
    constants: Object.fromEntries(
      Object.entries(constants).map(([name, value]) => [name, typeof value === 'object' ? value.f32 : value]),
    ),
    workgroupSize: workgroupSize(code),
    usesSubgroups: code.includes('enable subgroups'),
  };
}
