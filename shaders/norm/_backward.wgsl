// backward: dx += core'(x) (gamma * dy), and what the gradients of theta are summed of
//   over:    one workgroup a row. With OVER_ROW the statistics move too: dx = r (g - mean(g) - z mean(g z)), z the core,
//            g = gamma * dy; without CENTRED no mean(g). Ba, Kiros, Hinton 2016; Zhang, Sennrich 2019
//   numeric: statistics that stand in theta are held
//   uses:    run, row
// The host adds: what a member needs, TEAM lanes, OVER_ROW, CENTRED, ADD (dx is added to), the row FROM which it goes.
@group(0) @binding(0) var<storage, read> x: array<Cell>;               // [T, C]
@group(0) @binding(1) var<storage, read> theta: array<f32>;            // [P]
@group(0) @binding(2) var<storage, read> dy: array<f32>;               // [T, C]
@group(0) @binding(3) var<uniform> run: Run;
@group(0) @binding(4) var<storage, read_write> dx: array<f32>;         // [T, C]
@group(0) @binding(6) var<storage, read_write> taken: array<f32>;      // [T, C] core
@group(0) @binding(7) var<storage, read_write> shares: array<vec2f>;   // [T] of the gradients of the scalars

fn chunk(row: u32, lane: u32, i: u32) -> Value {
  return opened(x[row * CELLS + i * TEAM + lane]);
}

fn first(row: u32) -> f32 {
  return lead(opened(x[row * CELLS]));
}

@compute @workgroup_size(WG)
fn backward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = FROM + group.x;
  let stat = statistics(row, lane);
  var sums = vec2f(0.0);
  var share = vec2f(0.0);
  for (var c = lane; c < C; c += TEAM) {
    let at = row * C + c;
    let z = core(x[at], c, stat);
    let g = dy[at] * theta[GAMMA + c];
    taken[at] = z;
    sums += g * vec2f(1.0, z) * INV_C;
    share += g * partials(x[at], c, stat).yz;
  }
  if (OVER_ROW) { sums = row_sum(sums, lane); }
  share = row_sum(share, lane);
  if (lane == 0u) { shares[row] = share; }
  for (var c = lane; c < C; c += TEAM) {
    let at = row * C + c;
    var g = dy[at] * theta[GAMMA + c];
    if (OVER_ROW) { g -= select(0.0, sums.x, CENTRED) + core(x[at], c, stat) * sums.y; }
    let own = partials(x[at], c, stat).x * g;
    if (ADD) { dx[at] += own; } else { dx[at] = own; }
  }
}
