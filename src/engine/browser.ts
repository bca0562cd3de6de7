// What a browser tells of itself, in whatever thread; a receipt names it.
import type { BenchEnvironment } from '../bench/spec.ts';

type UserAgentData = {
  readonly brands: readonly { readonly brand: string; readonly version: string }[];
  readonly platform: string;
};

export function browserOf(): BenchEnvironment['browser'] & { readonly brands: string[] } {
  // Older Nodes have no navigator; the command line says itself what stands there.
  if (typeof navigator === 'undefined')
    return { userAgent: '', brands: [], platform: '', logicalProcessors: null };
  const { userAgent, hardwareConcurrency } = navigator;
  const data = 'userAgentData' in navigator ? (navigator.userAgentData as UserAgentData) : undefined;
  return {
    userAgent,
    brands: data?.brands.map(({ brand, version }) => `${brand} ${version}`) ?? [],
    platform: data?.platform ?? '',
    logicalProcessors: hardwareConcurrency || null,
  };
}
