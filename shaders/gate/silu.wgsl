// silu: y = silu(a) · b, silu(a) = a / (1 + exp(-a)), where a row of x is a and then b
//   over:    each value alone
//   paper:   Shazeer 2020, arXiv:2002.05202 (SwiGLU)
//   numeric: a is held to -85, so that the exponent stays finite; silu is 0 long before
//   uses:    run
// The host adds: WG, F outputs.
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [T, 2F]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [T, F]
@group(0) @binding(2) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let f = id.x;
  if (f >= F || t >= run.T) { return; }
  let a = max(x[t * 2u * F + f], -85.0);
  y[t * F + f] = a / (1.0 + exp(-a)) * x[t * 2u * F + F + f];
}
