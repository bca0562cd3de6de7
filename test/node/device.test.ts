// Why there is no GPU: four causes, four messages, each with a way on.
import { describe, expect, it } from 'vitest';
import { adapterName, Gpu } from '../../src/gpu/device.ts';
import type { GpuHost } from '../../src/gpu/device.ts';

const LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxStorageBufferBindingSize: 128 * 2 ** 20,
};
const INFO = { vendor: 'acme', architecture: 'xe', device: '', description: '', isFallbackAdapter: false };

/** The part of WebGPU that opening a device touches. */
function host(adapter: object | null): GpuHost {
  return { gpu: { requestAdapter: () => Promise.resolve(adapter) } as unknown as GPU };
}
const adapter = (limits: object, requestDevice: () => Promise<never>): object => ({
  limits: { ...LIMITS, ...limits },
  features: new Set(),
  info: INFO,
  requestDevice,
});
const refuse = (): Promise<never> => Promise.reject(new DOMException('out of handles', 'OperationError'));

describe('opening a device', () => {
  it.each([
    ['no-webgpu', {}, /no WebGPU here$/],
    ['no-adapter', host(null), /offers no adapter$/],
    [
      'limits-too-small',
      host(adapter({ maxStorageBuffersPerShaderStage: 4 }, refuse)),
      /maxStorageBuffersPerShaderStage is 4, and 8 is needed$/,
    ],
    ['no-device', host(adapter({}, refuse)), /adapter "acme xe": out of handles$/],
  ] as const)('tells %s in its own words', async (code, given, message) => {
    await expect(Gpu.open(given)).rejects.toMatchObject({
      code,
      message: expect.stringMatching(message),
      hint: expect.stringMatching(/\w{4}/),
    });
  });

  it('names an adapter by the most the browser tells', () => {
    const told = { ...INFO, isFallback: false, subgroupMinSize: null, subgroupMaxSize: null };
    expect(adapterName({ ...told, description: 'ACME X1' })).toBe('ACME X1');
    expect(adapterName({ ...told, architecture: '', device: '0x12' })).toBe('acme 0x12');
    expect(adapterName({ ...told, vendor: '', architecture: '' })).toBe('unnamed adapter');
  });
});
