// The engine on Dawn for as long as a command works.
import type { Environment, ForwardEngine } from '../engine/api.ts';
import type { Library } from '../engine/library.ts';
import { WgslEngine } from '../engine/wgsl.ts';
import type { Say } from './args.ts';
import { adapterWords, openDawn, SOFTWARE_REASON } from './dawn.ts';

/** The option of every command that computes. */
export const SOFTWARE_OPTION = {
  type: 'boolean',
  says: 'compute on the software adapter even where there is a GPU',
} as const;

/** Opens the engine, tells which adapter it has, does `work` and gives everything back. */
export async function withEngine(
  library: Library,
  { isSoftware = false }: { readonly isSoftware?: boolean | undefined },
  say: Say,
  work: (engine: ForwardEngine, environment: Environment) => Promise<void>,
): Promise<void> {
  const engine = new WgslEngine(library, await openDawn({ isSoftware }, say));
  try {
    const environment = await engine.environment();
    const { adapter } = environment;
    say(`adapter: ${adapterWords(adapter)}`);
    await work(
      engine,
      adapter.isFallback ? { ...environment, fallbackReason: SOFTWARE_REASON } : environment,
    );
  } finally {
    await engine.dispose();
  }
}
