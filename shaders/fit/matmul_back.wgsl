// matmul_back: dx[t, k] = sum over n of dy[t, n] w[n, k]: the product with the matrix as it lies, not transposed
//   over:    N; a lane has two neighbouring k of four tokens, so that lanes read neighbouring weights
//   numeric: f32 sum over n in order
//   uses:    run
// The host adds: WG, N, K, PAIRS of a row, ADD (dx is added to).
@group(0) @binding(0) var<storage, read> dy: array<f32>;        // [T, N]
@group(0) @binding(3) var<storage, read_write> dx: array<f32>;  // [T, K]
@group(0) @binding(4) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u, @builtin(workgroup_id) group: vec3u) {
  let pair = id.x;
  if (pair >= PAIRS) { return; }
  let t0 = group.y * 4u;
  let rows = min(vec4u(t0, t0 + 1u, t0 + 2u, t0 + 3u), vec4u(run.T - 1u)) * N;
  var even = vec4f(0.0);
  var odd = vec4f(0.0);
  for (var n = 0u; n < N; n++) {
    let w = weight_pair(n * PAIRS + pair);
    let g = vec4f(dy[rows.x + n], dy[rows.y + n], dy[rows.z + n], dy[rows.w + n]);
    even = fma(g, vec4f(w.x), even);
    odd = fma(g, vec4f(w.y), odd);
  }
  for (var i = 0u; i < 4u; i++) {
    if (t0 + i >= run.T) { break; }
    let at = (t0 + i) * K + 2u * pair;
    store(at, even[i]);
    if (2u * pair + 1u < K) { store(at + 1u, odd[i]); }
  }
}

fn store(at: u32, value: f32) {
  if (ADD) { dx[at] += value; } else { dx[at] = value; }
}
