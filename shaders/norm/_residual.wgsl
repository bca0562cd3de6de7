// residual: the same signature as _io where x += delta comes first, and x is written too
//   over:    each cell alone
//   numeric: the norm sees x as it is stored: with f16 rounded, so that every form sees the same
//   uses:    run
@group(0) @binding(0) var<storage, read_write> x: array<Cell>;  // [T, CELLS]
@group(0) @binding(1) var<storage, read> theta: array<f32>;     // [P]
@group(0) @binding(2) var<storage, read_write> y: array<Cell>;  // [T, CELLS]
@group(0) @binding(3) var<uniform> run: Run;
@group(0) @binding(4) var<storage, read> delta: array<Cell>;    // [T, CELLS]

const RESIDUAL = true;

fn settled(at: u32) -> Value {
  return opened(closed(opened(x[at]) + opened(delta[at])));
}

fn settle(at: u32, value: Value) {
  x[at] = closed(value);
}
