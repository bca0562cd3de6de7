// plain: one lane one output, straight down K; the copy to read, and the one for few tokens
//   over:    K
//   numeric: f32 sum in two lanes, even and odd k
//   cost:    reads x N times and w T times
@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let n = id.x;
  let t = id.y;
  if (n >= N || t >= run.T) { return; }
  var sum = vec2f(0.0);
  for (var pair = 0u; pair < K / 2u; pair++) {
    let i = t * K + 2u * pair;
    sum = fma(vec2f(x[i], x[i + 1u]), weight_pair(n * PAIRS + pair), sum);
  }
  if (K % 2u == 1u) { sum.x += x[t * K + K - 1u] * weight_pair(n * PAIRS + PAIRS - 1u).x; }
  store(t, n, sum.x + sum.y);
}
