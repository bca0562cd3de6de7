// theta_back: gradients of gamma, beta and the scalars of a site
//   over:    the T rows; one lane a channel, and one a scalar
//   uses:    run
// The host adds: WG, C, GAMMA and BETA, SCALARS of them and where they BEGIN in theta, FIRST (those of the first row are
// its own, and lie behind the others').
@group(0) @binding(0) var<storage, read> taken: array<f32>;           // [T, C] core
@group(0) @binding(1) var<storage, read> dy: array<f32>;              // [T, C]
@group(0) @binding(2) var<storage, read> shares: array<vec2f>;        // [T]
@group(0) @binding(3) var<storage, read_write> dtheta: array<f32>;    // [P]
@group(0) @binding(4) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let c = id.x;
  var sum = vec2f(0.0);
  if (c < C) {
    for (var t = 0u; t < run.T; t++) {
      let g = dy[t * C + c];
      sum += vec2f(g * taken[t * C + c], g);
    }
    dtheta[GAMMA + c] = sum.x;
    dtheta[BETA + c] = sum.y;
  } else if (c < C + SCALARS) {
    for (var t = u32(FIRST); t < run.T; t++) { sum += shares[t]; }
    dtheta[BEGIN + c - C] = select(sum.y, sum.x, c == C);
    if (FIRST) { dtheta[BEGIN + SCALARS + c - C] = select(shares[0].y, shares[0].x, c == C); }
  }
}
