// The norm family's one signature. A member file gives these functions and nothing else:
//   statistics(row, lane) -> vec3f   what it needs to know of the row, computed by the row's TEAM lanes together
//   core(x, c, stat) -> f32          its value before gamma and beta
//   drive(x, sigma) -> f32           u, the argument of its bend (x / sigma of the row where there is none)
//   slope(u) -> f32                  f'(u) / f'(0)
// and a fifth for norm/_backward:
//   partials(x, c, stat) -> vec3f    derivatives of core by x, statistics held, and by its scalars as the registry has them
// A row is CELLS cells of what one lane reads at once; norm/_f32, _f16, _f32x4 or _f16x4 says what a cell holds. Lane
// `lane` of a row's TEAM owns the cells lane, lane + TEAM, …: its CHUNKS chunks. statistics reads them by
// chunk(row, lane, i), from memory (_reread) or from registers (_held), and adds over the team with row_sum.
// The host adds: those four numbers, C channels, INV_C = 1/C, EPS inside the root, and one offset into theta a
// parameter (GAMMA, BETA, ALPHA, …).
//   uses:    run
@group(0) @binding(0) var<storage, read> x: array<Cell>;        // [T, CELLS]
@group(0) @binding(1) var<storage, read> theta: array<f32>;     // [P] parameters, packed as the registry lists them
@group(0) @binding(2) var<storage, read_write> y: array<Cell>;  // [T, CELLS]
@group(0) @binding(3) var<uniform> run: Run;

const RESIDUAL = false;

fn settled(at: u32) -> Value {
  return opened(x[at]);
}

fn settle(at: u32, value: Value) {}
