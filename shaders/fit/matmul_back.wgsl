// matmul_back: dx[t, k] = sum over n of dy[t, n] w[n, k]: the product with the matrix as it lies, not transposed
//   over:    N, two at a time; a lane has four neighbouring k of four tokens, in registers, so that every value read is
//            used four times and lanes read neighbouring weights
//   numeric: f32 sum in two lanes, even and odd n
//   uses:    run
// The host adds: WG, N, K, PAIRS of a row, ADD (dx is added to).
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [T, N]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [T, K]
@group(0) @binding(4) var<uniform> run: Run;

fn weights(n: u32, pair: u32) -> vec4f {
  return vec4f(weight_pair(n * PAIRS + pair), weight_pair(n * PAIRS + min(pair + 1u, PAIRS - 1u)));
}

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let pair = 2u * id.x;
  if (pair >= PAIRS) { return; }
  let t0 = group.y * 4u;
  // Rows past the end repeat the last one; they are not stored.
  let rows = min(vec4u(t0, t0 + 1u, t0 + 2u, t0 + 3u), vec4u(run.T - 1u)) * N;
  var even0 = vec4f(0.0);
  var even1 = vec4f(0.0);
  var even2 = vec4f(0.0);
  var even3 = vec4f(0.0);
  var odd0 = vec4f(0.0);
  var odd1 = vec4f(0.0);
  var odd2 = vec4f(0.0);
  var odd3 = vec4f(0.0);
  for (var n = 0u; n < N; n += 2u) {
    let even = weights(n, pair);
    even0 = fma(vec4f(dy[rows.x + n]), even, even0);
    even1 = fma(vec4f(dy[rows.y + n]), even, even1);
    even2 = fma(vec4f(dy[rows.z + n]), even, even2);
    even3 = fma(vec4f(dy[rows.w + n]), even, even3);
    if (n + 1u < N) {
      let odd = weights(n + 1u, pair);
      odd0 = fma(vec4f(dy[rows.x + n + 1u]), odd, odd0);
      odd1 = fma(vec4f(dy[rows.y + n + 1u]), odd, odd1);
      odd2 = fma(vec4f(dy[rows.z + n + 1u]), odd, odd2);
      odd3 = fma(vec4f(dy[rows.w + n + 1u]), odd, odd3);
    }
  }
  let sums = array<vec4f, 4>(even0 + odd0, even1 + odd1, even2 + odd2, even3 + odd3);
  for (var i = 0u; i < 4u; i++) {
    if (t0 + i >= run.T) { break; }
    for (var j = 0u; j < 4u; j++) {
      let k = 2u * pair + j;
      if (k < K) { store((t0 + i) * K + k, sums[i][j]); }
    }
  }
}

fn store(at: u32, value: f32) {
  if (ADD) { dx[at] += value; } else { dx[at] = value; }
}
