// blocked: 4 × 4 outputs a lane, in registers, two of K at a time
//   over:    K
//   faster:  every value read is used four times, and no lane waits for another; the one for software adapters
//   numeric: f32 sum in two lanes, even and odd k
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n0 = (group.x * LANES + lane) * 4u;
  let t0 = group.y * 4u;
  prepare(t0, lane);
  // Rows past the end repeat the last one; they are not stored.
  let rows = min(vec4u(t0, t0 + 1u, t0 + 2u, t0 + 3u), vec4u(run.T - 1u)) * K;
  let columns = min(vec4u(n0, n0 + 1u, n0 + 2u, n0 + 3u), vec4u(N - 1u)) * PAIRS;
  // even[i] and odd[i]: outputs of row i at four columns, from even and odd k
  var even0 = vec4f(0.0);
  var even1 = vec4f(0.0);
  var even2 = vec4f(0.0);
  var even3 = vec4f(0.0);
  var odd0 = vec4f(0.0);
  var odd1 = vec4f(0.0);
  var odd2 = vec4f(0.0);
  var odd3 = vec4f(0.0);
  for (var k0 = 0u; k0 < K; k0 += CHUNK) {
    stage(t0, k0, lane);
    let end = select(0u, min((k0 + CHUNK) / 2u, PAIRS), n0 < N);
    for (var pair = k0 / 2u; pair < end; pair++) {
      let a = weight_pair(columns.x + pair);
      let b = weight_pair(columns.y + pair);
      let c = weight_pair(columns.z + pair);
      let d = weight_pair(columns.w + pair);
      let k = 2u * pair;
      let at = rows + k;
      let even = vec4f(a.x, b.x, c.x, d.x);
      even0 = fma(vec4f(input(0u, at.x, k)), even, even0);
      even1 = fma(vec4f(input(1u, at.y, k)), even, even1);
      even2 = fma(vec4f(input(2u, at.z, k)), even, even2);
      even3 = fma(vec4f(input(3u, at.w, k)), even, even3);
      if (k + 1u < K) {
        let odd = vec4f(a.y, b.y, c.y, d.y);
        odd0 = fma(vec4f(input(0u, at.x + 1u, k + 1u)), odd, odd0);
        odd1 = fma(vec4f(input(1u, at.y + 1u, k + 1u)), odd, odd1);
        odd2 = fma(vec4f(input(2u, at.z + 1u, k + 1u)), odd, odd2);
        odd3 = fma(vec4f(input(3u, at.w + 1u, k + 1u)), odd, odd3);
      }
    }
  }
  let sums = array<vec4f, 4>(even0 + odd0, even1 + odd1, even2 + odd2, even3 + odd3);
  for (var i = 0u; i < 4u; i++) {
    if (t0 + i >= run.T) { break; }
    for (var j = 0u; j < 4u; j++) {
      if (n0 + j < N) { store(t0 + i, n0 + j, sums[i][j]); }
    }
  }
}
