// Which WebGPU browser the tests drive, and how it is brought here when there is none.
// `node test/browser.mjs` makes sure of one; `findBrowser()` names it.
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { chromium } from 'playwright';

const NAMES = ['chromium', 'chromium-browser', 'google-chrome-stable', 'google-chrome', 'microsoft-edge'];
const PATHS = [
  '/Applications/Google Chrome.app/Contents/MacOS/Google Chrome',
  '/Applications/Chromium.app/Contents/MacOS/Chromium',
  '/Applications/Microsoft Edge.app/Contents/MacOS/Microsoft Edge',
  'C:\\Program Files\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Google\\Chrome\\Application\\chrome.exe',
  'C:\\Program Files (x86)\\Microsoft\\Edge\\Application\\msedge.exe',
];

/** The path of a Chromium-family browser on this machine, or null. `CHROME_PATH` wins. */
export function findBrowser() {
  const wanted = process.env['CHROME_PATH'];
  if (wanted) return wanted;
  for (const name of process.platform === 'win32' ? [] : NAMES) {
    const which = spawnSync('which', [name], { encoding: 'utf8' });
    if (which.status === 0) return which.stdout.trim();
  }
  const bundled = chromium.executablePath();
  return [...PATHS, bundled].find((path) => existsSync(path)) ?? null;
}

/**
 * Flags for a headless run. WebGPU on the software adapter proves correctness and never speed;
 * `NORMSCOPE_GPU=hardware` lets the browser pick the machine's own adapter.
 */
export const BROWSER_FLAGS = [
  '--no-sandbox',
  '--enable-unsafe-webgpu',
  '--disable-background-networking',
  ...(process.env['NORMSCOPE_GPU'] === 'hardware' ? [] : ['--use-webgpu-adapter=swiftshader']),
];

/** @param {string} command @param {string[]} args */
const run = (command, args) => spawnSync(command, args, { stdio: 'inherit' }).status === 0;

function installBrowser() {
  const hasApt = process.platform === 'linux' && spawnSync('which', ['apt-get']).status === 0;
  if (hasApt) {
    const sudo = process.getuid?.() === 0 ? [] : ['sudo', '-n'];
    const [command = 'apt-get', ...rest] = [...sudo, 'apt-get'];
    run(command, [...rest, 'update']);
    run(command, [...rest, 'install', '-y', 'chromium']);
    if (findBrowser()) return;
  }
  run(process.execPath, ['node_modules/playwright/cli.js', 'install', 'chromium']);
}

if (process.argv[1]?.endsWith('browser.mjs')) {
  if (!findBrowser()) installBrowser();
  const found = findBrowser();
  if (!found) {
    console.error(
      'Cannot run the tests: there is no browser with WebGPU here and none could be installed.\n' +
        'Install Chrome, Chromium or Edge, or set CHROME_PATH to the program, and run `npm test` again.',
    );
    process.exit(1);
  }
  console.log(`browser: ${execFileSync(found, ['--version'], { encoding: 'utf8' }).trim()} (${found})`);
}
