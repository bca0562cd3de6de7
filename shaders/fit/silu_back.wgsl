// silu_back: dx of y = silu(a) · b: da = dy b s (1 + a (1 - s)), db = dy a s, s = 1 / (1 + exp(-a)); a row of x is a, then b
//   over:    each value alone
//   paper:   Shazeer 2020, arXiv:2002.05202 (SwiGLU)
//   numeric: a is held to -85, as in the forward
//   uses:    run
// The host adds: WG, F outputs.
@group(0) @binding(0) var<storage, read> x: array<f32>;         // [T, 2F]
@group(0) @binding(1) var<storage, read> dy: array<f32>;        // [T, F]
@group(0) @binding(2) var<storage, read_write> dx: array<f32>;  // [T, 2F]
@group(0) @binding(3) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let f = id.x;
  if (f >= F || t >= run.T) { return; }
  let at = t * 2u * F + f;
  let a = max(x[at], -85.0);
  let s = 1.0 / (1.0 + exp(-a));
  let g = dy[t * F + f];
  dx[at] = g * x[at + F] * s * (1.0 + a * (1.0 - s));
  dx[at + F] = g * a * s;
}
