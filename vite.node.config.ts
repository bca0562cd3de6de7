// The engine without a page, as one program for Node: everything is in it but Dawn, which is a native library, and
// onnxruntime's WebGPU engines, which Dawn cannot serve (cli/spec.ts).
import { mergeConfig } from 'vite';
import page from './vite.config.ts';

/** Files lie beside the program, wherever that is. */
const besides = (file: string, chunk: string): string =>
  `new URL(${JSON.stringify('../'.repeat(chunk.split('/').length - 1) + file)}, import.meta.url).href`;

export default mergeConfig(page, {
  build: {
    ssr: 'src/cli.ts',
    outDir: 'dist/node',
    copyPublicDir: false,
    ssrEmitAssets: true,
    rollupOptions: { external: [/^onnxruntime-web\/(webgpu|all|.*(asyncify|jsep))/] },
  },
  ssr: { noExternal: true, external: ['webgpu'] },
  experimental: {
    renderBuiltUrl: (file: string, { hostId }: { hostId: string }) => ({ runtime: besides(file, hostId) }),
  },
});
