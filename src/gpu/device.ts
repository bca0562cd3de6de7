// One GPU device: who asks for it, what it can do, every buffer on it and what they add up to.
// Nobody else calls createBuffer.
import { Problem } from '../problem.ts';

/** What a buffer is for; memory is counted by it. */
export const PURPOSES = ['weights', 'parameters', 'activations', 'cache', 'probes', 'readback'] as const;
export type Purpose = (typeof PURPOSES)[number];

export type MemoryUse = {
  readonly currentBytes: number;
  readonly peakBytes: number;
  readonly peakBytesByPurpose: Readonly<Record<Purpose, number>>;
};

/** What an engine without a GPU allocates on it. */
export const NO_MEMORY: MemoryUse = {
  currentBytes: 0,
  peakBytes: 0,
  peakBytesByPurpose: Object.fromEntries(PURPOSES.map((purpose) => [purpose, 0])) as Record<Purpose, number>,
};

export type AdapterDescription = {
  readonly vendor: string;
  readonly architecture: string;
  readonly device: string;
  readonly description: string;
  readonly isFallback: boolean;
  readonly subgroupMinSize: number | null;
  readonly subgroupMaxSize: number | null;
};

/** What a kernel may be planned around. */
export type Machine = {
  /** Lanes of a subgroup, where WGSL can use them and tell which one a lane is in. */
  readonly subgroups: { readonly min: number; readonly max: number } | null;
  readonly sharedBytes: number;
  readonly mostLanes: number;
};

/** A buffer with an owner: whoever made it disposes it (`using`, or an array that a model frees). */
export class GpuBuffer implements Disposable {
  readonly #gpu: Gpu;
  readonly raw: GPUBuffer;
  readonly purpose: Purpose;
  #isDisposed = false;
  constructor(gpu: Gpu, raw: GPUBuffer, purpose: Purpose) {
    this.#gpu = gpu;
    this.raw = raw;
    this.purpose = purpose;
  }
  get sizeBytes(): number {
    return this.raw.size;
  }
  [Symbol.dispose](): void {
    if (this.#isDisposed) return;
    this.#isDisposed = true;
    this.raw.destroy();
    this.#gpu.forget(this);
  }
}

/** Least the engine needs; the WebGPU defaults have all of it, so only broken or limited adapters fall short. */
const NEEDED_LIMITS = {
  maxStorageBuffersPerShaderStage: 8,
  maxComputeInvocationsPerWorkgroup: 256,
  maxComputeWorkgroupStorageSize: 16384,
  maxStorageBufferBindingSize: 64 * 2 ** 20,
} as const;

/** As high as the adapter goes: for larger models, and onnxruntime on this device loses fast paths without them. */
const RAISED_LIMITS = [
  'maxStorageBufferBindingSize',
  'maxBufferSize',
  'maxComputeWorkgroupStorageSize',
  'maxComputeInvocationsPerWorkgroup',
  'maxComputeWorkgroupSizeX',
  'maxComputeWorkgroupSizeY',
  'maxComputeWorkgroupSizeZ',
  'maxComputeWorkgroupsPerDimension',
  'maxStorageBuffersPerShaderStage',
] as const;

const USED_FEATURES: readonly GPUFeatureName[] = ['timestamp-query', 'subgroups', 'shader-f16'];

const LOSS_GRACE_MS = 500;
const RELOAD_HINT = 'Reload the page; if it comes back, report it with this text.';
const UPDATE_HINT =
  'Use a current Chrome, Edge or Safari 26, and open the page over https or as localhost: elsewhere browsers hide WebGPU.';

/** The part of `navigator` that WebGPU lives in; tests give their own. */
export type GpuHost = { readonly gpu?: GPU | undefined };

export class Gpu implements Disposable {
  readonly device: GPUDevice;
  readonly adapter: AdapterDescription;
  readonly #languageFeatures: WGSLLanguageFeatures | undefined;
  readonly #live = new Set<GpuBuffer>();
  readonly #current = Object.fromEntries(PURPOSES.map((p) => [p, 0])) as Record<Purpose, number>;
  #peakByPurpose: Record<Purpose, number> = { ...this.#current };
  #peakBytes = 0;
  #firstError: Problem | undefined;
  #isDisposed = false;
  /** Resolves with the reason when the device goes, never when it was disposed. */
  readonly lost: Promise<Problem>;

  private constructor(
    device: GPUDevice,
    adapter: AdapterDescription,
    languageFeatures: WGSLLanguageFeatures | undefined,
  ) {
    this.device = device;
    this.adapter = adapter;
    this.#languageFeatures = languageFeatures;
    this.lost = new Promise((resolve) => {
      void device.lost.then((info) => {
        if (this.#isDisposed) return;
        const problem = lostProblem(info);
        this.#firstError = problem;
        resolve(problem);
      });
    });
    device.addEventListener('uncapturederror', (event) => {
      this.#firstError ??= gpuProblem(event.error);
    });
  }

  get machine(): Machine {
    const { features, limits } = this.device;
    const { subgroupMinSize: min, subgroupMaxSize: max } = this.adapter;
    const canTell = this.#languageFeatures?.has('subgroup_id') === true;
    return {
      subgroups: features.has('subgroups') && canTell && min && max ? { min, max } : null,
      sharedBytes: limits.maxComputeWorkgroupStorageSize,
      mostLanes: limits.maxComputeInvocationsPerWorkgroup,
    };
  }

  /**
   * Opens a device with the features and limits the engine can use, but for those in `without`. Four different
   * Problems say why not.
   */
  static async open(host: GpuHost = navigator, without: readonly GPUFeatureName[] = []): Promise<Gpu> {
    if (!host.gpu)
      throw new Problem('no-webgpu', 'Cannot reach the GPU: this browser has no WebGPU here', UPDATE_HINT);
    const adapter = await host.gpu.requestAdapter({ powerPreference: 'high-performance' });
    if (!adapter) {
      throw new Problem(
        'no-adapter',
        'Cannot reach the GPU: the browser has WebGPU but offers no adapter',
        'Turn on hardware acceleration in the browser settings, update the graphics driver, and look at chrome://gpu for the reason.',
      );
    }
    for (const [name, needed] of Object.entries(NEEDED_LIMITS)) {
      const has = adapter.limits[name as keyof typeof NEEDED_LIMITS];
      if (has < needed) {
        throw new Problem(
          'limits-too-small',
          `Cannot run on this adapter: ${name} is ${has}, and ${needed} is needed`,
          'Another GPU of this machine may do: choose it in the system or browser settings and reload.',
        );
      }
    }
    const description = describeAdapter(adapter);
    try {
      const device = await adapter.requestDevice({
        label: 'normscope',
        requiredFeatures: USED_FEATURES.filter((f) => adapter.features.has(f) && !without.includes(f)),
        requiredLimits: Object.fromEntries(RAISED_LIMITS.map((name) => [name, adapter.limits[name]])),
      });
      return new Gpu(device, description, host.gpu.wgslLanguageFeatures);
    } catch (cause) {
      throw new Problem(
        'no-device',
        `Cannot open a device on adapter "${adapterName(description)}": ${cause instanceof Error ? cause.message : cause}`,
        'Close other tabs that use the GPU, restart the browser, and reload.',
        cause,
      );
    }
  }

  /** A zeroed storage buffer of at least `sizeBytes`, rounded up to 4. */
  buffer(label: string, purpose: Purpose, sizeBytes: number, extraUsage = 0): GpuBuffer {
    const size = Math.max(16, Math.ceil(sizeBytes / 4) * 4);
    if (size > this.device.limits.maxBufferSize) {
      throw new Problem(
        'out-of-memory',
        `Cannot allocate "${label}": ${size} bytes are over this adapter's limit of ${this.device.limits.maxBufferSize}`,
        'Use a smaller model or a shorter prompt.',
      );
    }
    const usage = GPUBufferUsage.STORAGE | GPUBufferUsage.COPY_SRC | GPUBufferUsage.COPY_DST | extraUsage;
    const raw = this.device.createBuffer({
      label,
      size,
      usage: purpose === 'readback' ? GPUBufferUsage.MAP_READ | GPUBufferUsage.COPY_DST : usage,
    });
    const buffer = new GpuBuffer(this, raw, purpose);
    this.#live.add(buffer);
    this.#current[purpose] += size;
    this.#peakByPurpose[purpose] = Math.max(this.#peakByPurpose[purpose], this.#current[purpose]);
    this.#peakBytes = Math.max(this.#peakBytes, this.currentBytes);
    return buffer;
  }

  /** A buffer with `data` in it; its length is padded to 4 bytes. */
  upload(label: string, purpose: Purpose, data: ArrayBufferView): GpuBuffer {
    const buffer = this.buffer(label, purpose, data.byteLength);
    this.write(buffer, data);
    return buffer;
  }

  /** A uniform buffer with `data` in it, of at most 16 bytes. */
  uniform(label: string, data: ArrayBufferView): GpuBuffer {
    const buffer = this.buffer(label, 'parameters', 16, GPUBufferUsage.UNIFORM);
    this.write(buffer, data);
    return buffer;
  }

  write(buffer: GpuBuffer, data: ArrayBufferView, offsetBytes = 0): void {
    const whole = data.byteLength & ~3;
    this.device.queue.writeBuffer(buffer.raw, offsetBytes, data.buffer, data.byteOffset, whole);
    if (whole === data.byteLength) return;
    const tail = new Uint8Array(4);
    tail.set(new Uint8Array(data.buffer, data.byteOffset + whole, data.byteLength - whole));
    this.device.queue.writeBuffer(buffer.raw, offsetBytes + whole, tail);
  }

  /** Copies of `parts` as one ArrayBuffer, in order; the caller's encoder must have been submitted before. */
  async read(
    parts: readonly { buffer: GpuBuffer; sizeBytes: number; offsetBytes?: number }[],
  ): Promise<ArrayBuffer> {
    const totalBytes = parts.reduce((sum, part) => sum + part.sizeBytes, 0);
    using staging = this.buffer('readback', 'readback', totalBytes);
    const encoder = this.device.createCommandEncoder({ label: 'readback' });
    let at = 0;
    for (const { buffer, sizeBytes, offsetBytes = 0 } of parts) {
      encoder.copyBufferToBuffer(buffer.raw, offsetBytes, staging.raw, at, sizeBytes);
      at += sizeBytes;
    }
    this.device.queue.submit([encoder.finish()]);
    await this.settle(staging.raw.mapAsync(GPUMapMode.READ));
    return staging.raw.getMappedRange(0, totalBytes).slice(0);
  }

  /** Waits for GPU work; a lost device or an error on the way becomes its Problem. */
  async settle<T>(work: Promise<T>): Promise<T> {
    try {
      const value = await work;
      if (!this.#firstError) return value;
    } catch (cause) {
      // A mapping on a lost device is rejected, as an AbortError, a little before `lost` resolves.
      await Promise.race([this.lost, new Promise((resolve) => setTimeout(resolve, LOSS_GRACE_MS))]);
      const why = cause instanceof Error ? cause.message : String(cause);
      this.#firstError ??= new Problem(
        'gpu',
        `Cannot finish the work on the GPU: ${why}`,
        RELOAD_HINT,
        cause,
      );
    }
    const problem = this.#firstError;
    // Told once: the next call may go well. A lost device stays lost.
    if (problem.code !== 'device-lost') this.#firstError = undefined;
    throw problem;
  }

  done(): Promise<void> {
    return this.settle(this.device.queue.onSubmittedWorkDone());
  }

  get currentBytes(): number {
    return PURPOSES.reduce((sum, p) => sum + this.#current[p], 0);
  }

  memory(): MemoryUse {
    return {
      currentBytes: this.currentBytes,
      peakBytes: this.#peakBytes,
      peakBytesByPurpose: { ...this.#peakByPurpose },
    };
  }

  /** Starts a new peak at what is allocated now. */
  resetPeak(): void {
    this.#peakBytes = this.currentBytes;
    this.#peakByPurpose = { ...this.#current };
  }

  get liveBuffers(): number {
    return this.#live.size;
  }

  forget(buffer: GpuBuffer): void {
    if (this.#live.delete(buffer)) this.#current[buffer.purpose] -= buffer.sizeBytes;
  }

  [Symbol.dispose](): void {
    this.#isDisposed = true;
    for (const buffer of this.#live) buffer[Symbol.dispose]();
    this.device.destroy();
  }
}

export function describeAdapter(adapter: GPUAdapter): AdapterDescription {
  const { vendor, architecture, device, description, subgroupMinSize, subgroupMaxSize, isFallbackAdapter } =
    adapter.info;
  const software = /swiftshader|llvmpipe|lavapipe|basic render/i.test(
    `${architecture} ${device} ${description}`,
  );
  return {
    vendor,
    architecture,
    device,
    description,
    isFallback: isFallbackAdapter || software,
    subgroupMinSize: subgroupMinSize || null,
    subgroupMaxSize: subgroupMaxSize || null,
  };
}

/** The most a browser tells of an adapter, in one line. */
export function adapterName({ vendor, architecture, device, description }: AdapterDescription): string {
  return description || [vendor, architecture || device].filter(Boolean).join(' ') || 'unnamed adapter';
}

function lostProblem(info: GPUDeviceLostInfo): Problem {
  const why = info.message || info.reason || 'no reason given';
  return new Problem(
    'device-lost',
    `Cannot go on: the GPU device was lost (${why})`,
    'Press Run: a new device is opened and the model is put back on it.',
  );
}

function gpuProblem(error: GPUError): Problem {
  const memory = error instanceof GPUOutOfMemoryError;
  return new Problem(
    memory ? 'out-of-memory' : 'gpu',
    `Cannot run on the GPU: ${error.message || error.constructor.name}`,
    memory
      ? 'Close other tabs that use the GPU, or use a smaller model.'
      : 'Reload the page; if it comes back, report it with this text.',
  );
}
