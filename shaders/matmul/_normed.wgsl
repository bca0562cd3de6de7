// normed: in = gamma * core(x) + beta: the norm of the rows, so that it needs no dispatch and no [T, C] of its own
//   over:    ROWS tokens a workgroup, TEAM lanes a row. First the rows' statistics, by the member's own function, then
//            its core wherever x is read
//   numeric: the norm's own, whatever the mean: nothing is deferred past the product, where (xW - mean colsum W)
//            would cancel
//   uses:    single, row_team
//   cost:    every workgroup takes the statistics again; the core again in every ceil(N / outputs of a workgroup)
@group(0) @binding(5) var<storage, read> theta: array<f32>; // [P] parameters of the member
var<private> team: u32;
var<workgroup> row_stat: array<vec3f, ROWS>;
var<workgroup> staged: array<f32, ROWS * CHUNK>;

fn chunk(row: u32, lane: u32, i: u32) -> Value {
  return x[row * CELLS + i * TEAM + lane];
}

fn first(row: u32) -> f32 {
  return x[row * CELLS];
}

// Before anything is read, by all lanes: the statistics of rows t0 and on, for members that look at rows.
fn prepare(t0: u32, lane: u32) {
  if (!OVER_ROW) { return; }
  team = lane / TEAM;
  let stat = statistics(min(t0 + team, run.T - 1u), lane % TEAM);
  if (lane % TEAM == 0u) { row_stat[team] = stat; }
  workgroupBarrier();
}

fn normed(v: f32, slot: u32, k: u32) -> f32 {
  var stat = vec3f(0.0);
  if (OVER_ROW) { stat = row_stat[slot]; }
  let value = core(v, k, stat);
  if (AFFINE) { return fma(theta[GAMMA + k], value, theta[BETA + k]); }
  return value;
}

// CHUNK columns from k0 of all rows into shared memory, by all lanes.
fn stage(t0: u32, k0: u32, lane: u32) {
  workgroupBarrier();
  for (var i = lane; i < ROWS * CHUNK; i += LANES) {
    let slot = i / CHUNK;
    let k = k0 + i % CHUNK;
    if (k < K) { staged[i] = normed(x[min(t0 + slot, run.T - 1u) * K + k], slot, k); }
  }
  workgroupBarrier();
}

fn input(slot: u32, at: u32, k: u32) -> f32 {
  return staged[slot * CHUNK + k % CHUNK];
}

fn prepared(v: vec4f, slot: u32, q: u32) -> vec4f {
  let k = min(vec4u(4u * q, 4u * q + 1u, 4u * q + 2u, 4u * q + 3u), vec4u(K - 1u));
  return vec4f(normed(v.x, slot, k.x), normed(v.y, slot, k.y), normed(v.z, slot, k.z), normed(v.w, slot, k.w));
}
