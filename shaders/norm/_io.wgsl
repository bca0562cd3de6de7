// The norm family's one signature. A member file gives four functions and nothing else:
//   statistics(row, lane) -> vec3f   what it needs to know of the row, computed by the whole workgroup
//   core(x, c, stat) -> f32          its value before gamma and beta
//   drive(x, sigma) -> f32           u, the argument of its bend (x / sigma of the row where there is none)
//   slope(u) -> f32                  f'(u) / f'(0)
// The host adds: WG lanes a workgroup, C channels, INV_C = 1/C, EPS inside the root, and one offset into theta a
// parameter (GAMMA, BETA, ALPHA, …).
//   uses:    run
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [T, C]
@group(0) @binding(1) var<storage, read> theta: array<f32>;    // [P] parameters, packed as the registry lists them
@group(0) @binding(2) var<storage, read_write> y: array<f32>;  // [T, C]
@group(0) @binding(3) var<uniform> run: Run;
