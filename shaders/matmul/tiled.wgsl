// tiled: ROWS × COLUMNS outputs a workgroup, PER_ROW × PER_COLUMN a lane, DEEP quads of K at a time through shared memory
//   over:    K
//   faster:  a value is fetched once a workgroup and used PER times from a register; neighbouring lanes read
//            neighbouring quads and write neighbouring outputs; rows are padded by a quad, to an odd length, so that
//            neighbours lie in different banks
//   numeric: f32 sum straight down K
const PITCH = DEEP + 1u;
const LANES_ACROSS = COLUMNS / PER_COLUMN; // lanes a row of outputs
const LANES_DOWN = ROWS / PER_ROW;
const FOURS = PER_COLUMN / 4u;
var<workgroup> x_tile: array<vec4f, ROWS * PITCH>;
var<workgroup> w_tile: array<vec4f, COLUMNS * PITCH>;

@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t0 = group.y * ROWS;
  let n0 = group.x * COLUMNS;
  prepare(t0, lane);
  let across = lane % LANES_ACROSS;
  let down = lane / LANES_ACROSS;
  // sums[i * FOURS + j]: row i · LANES_DOWN + down, columns (4j .. 4j + 3) · LANES_ACROSS + across
  var sums: array<vec4f, PER_ROW * FOURS>;
  for (var q0 = 0u; q0 < QUADS; q0 += DEEP) {
    // Rows and columns past the end repeat the last one; they are not stored. Past K there are zeros.
    for (var i = lane; i < ROWS * DEEP; i += LANES) {
      let slot = i / DEEP;
      let q = q0 + i % DEEP;
      var v = vec4f(0.0);
      if (QUADS % DEEP == 0u || q < QUADS) { v = prepared(x_quad(min(t0 + slot, run.T - 1u), q), slot, q); }
      x_tile[slot * PITCH + i % DEEP] = v;
    }
    for (var i = lane; i < COLUMNS * DEEP; i += LANES) {
      let slot = i / DEEP;
      let q = q0 + i % DEEP;
      var v = vec4f(0.0);
      if (QUADS % DEEP == 0u || q < QUADS) { v = weight_quad(min(n0 + slot, N - 1u) * QUADS + q); }
      w_tile[slot * PITCH + i % DEEP] = v;
    }
    workgroupBarrier();
    for (var q = 0u; q < DEEP; q++) {
      var a: array<vec4f, PER_ROW>;
      for (var i = 0u; i < PER_ROW; i++) { a[i] = x_tile[(i * LANES_DOWN + down) * PITCH + q]; }
      for (var j = 0u; j < FOURS; j++) {
        let at = (4u * j * LANES_ACROSS + across) * PITCH + q;
        let b0 = w_tile[at];
        let b1 = w_tile[at + LANES_ACROSS * PITCH];
        let b2 = w_tile[at + 2u * LANES_ACROSS * PITCH];
        let b3 = w_tile[at + 3u * LANES_ACROSS * PITCH];
        for (var i = 0u; i < PER_ROW; i++) {
          var sum = sums[i * FOURS + j];
          sum = fma(vec4f(a[i].x), vec4f(b0.x, b1.x, b2.x, b3.x), sum);
          sum = fma(vec4f(a[i].y), vec4f(b0.y, b1.y, b2.y, b3.y), sum);
          sum = fma(vec4f(a[i].z), vec4f(b0.z, b1.z, b2.z, b3.z), sum);
          sum = fma(vec4f(a[i].w), vec4f(b0.w, b1.w, b2.w, b3.w), sum);
          sums[i * FOURS + j] = sum;
        }
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < PER_ROW; i++) {
    let t = t0 + i * LANES_DOWN + down;
    if (t >= run.T) { break; }
    for (var j = 0u; j < PER_COLUMN; j++) {
      let n = n0 + j * LANES_ACROSS + across;
      if (n < N) { store(t, n, sums[i * FOURS + j / 4u][j % 4u]); }
    }
  }
}
