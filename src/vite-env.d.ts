/// <reference types="vite/client" />

interface ImportMetaEnv {
  readonly APP_VERSION: string;
  readonly APP_COMMIT: string;
}

// WebGPU's flag constants, which TypeScript's DOM library leaves out. https://www.w3.org/TR/webgpu/#buffer-usage
declare const GPUBufferUsage: Readonly<
  Record<'MAP_READ' | 'COPY_SRC' | 'COPY_DST' | 'UNIFORM' | 'STORAGE' | 'QUERY_RESOLVE', number>
>;
declare const GPUMapMode: Readonly<Record<'READ', number>>;
declare const GPUShaderStage: Readonly<Record<'COMPUTE', number>>;

// Dawn for Node. An optional package, so it is declared here: the types are needed where it could not be installed.
declare module 'webgpu' {
  export function create(options: string[]): GPU;
  export const globals: Readonly<Record<string, unknown>>;
}
