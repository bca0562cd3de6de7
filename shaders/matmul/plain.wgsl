// plain: one lane one output, straight down K; the copy to read, and the one for few tokens on a software adapter
//   over:    K
//   numeric: f32 sum in two lanes, even and odd k
//   cost:    reads x N times and w T times
@compute @workgroup_size(LANES)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let n = group.x * LANES + lane;
  let t = group.y;
  prepare(t, lane);
  let start = t * K;
  let row = min(n, N - 1u) * PAIRS;
  var sum = vec2f(0.0);
  for (var k0 = 0u; k0 < K; k0 += CHUNK) {
    stage(t, k0, lane);
    let end = select(0u, min(k0 + CHUNK, K), n < N);
    for (var pair = k0 / 2u; pair < end / 2u; pair++) {
      let k = 2u * pair;
      let at = start + k;
      sum = fma(vec2f(input(0u, at, k), input(0u, at + 1u, k + 1u)), weight_pair(row + pair), sum);
    }
    if (end % 2u == 1u) { sum.x += input(0u, start + end - 1u, end - 1u) * weight_pair(row + end / 2u).x; }
  }
  if (n < N) { store(t, n, sum.x + sum.y); }
}
