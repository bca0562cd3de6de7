// gemv: four outputs of ROWS tokens a group of ACROSS lanes, which lie along K; the reduction and the entry are the
// other half, _gemv_shared or _gemv_subgroups
//   over:    K
//   faster:  neighbouring lanes read neighbouring quads of a row of w, four rows at once; x is read once a group
//   numeric: f32 sum a lane, then over the lanes
fn part_of(t0: u32, n0: u32, along: u32) -> array<vec4f, ROWS> {
  let rows = min(vec4u(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4u(N - 1u)) * QUADS;
  var sums: array<vec4f, ROWS>;
  for (var q = along; q < QUADS; q += ACROSS) {
    let a = weight_quad(rows.x + q);
    let b = weight_quad(rows.y + q);
    let c = weight_quad(rows.z + q);
    let d = weight_quad(rows.w + q);
    for (var slot = 0u; slot < ROWS; slot++) {
      let v = prepared(x_quad(min(t0 + slot, run.T - 1u), q), slot, q);
      sums[slot] += vec4f(dot(v, a), dot(v, b), dot(v, c), dot(v, d));
    }
  }
  return sums;
}

fn store_four(t: u32, n0: u32, along: u32, sum: vec4f) {
  if (t >= run.T) { return; }
  for (var j = along; j < 4u; j += ACROSS) {
    if (n0 + j < N) { store(t, n0 + j, sum[j]); }
  }
}
