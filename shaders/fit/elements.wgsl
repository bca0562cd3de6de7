// elements: y = a + b, gelu(a), or b gelu'(a) (tanh form, Hendrycks & Gimpel 2016, arXiv:1606.08415)
//   over:    each value alone
//   uses:    run, tanh
// The host adds: WG, N values a token, SUM, DERIVATIVE.
@group(0) @binding(0) var<storage, read> a: array<f32>;         // [T, N]
@group(0) @binding(1) var<storage, read> b: array<f32>;         // [T, N]
@group(0) @binding(2) var<storage, read_write> y: array<f32>;   // [T, N]
@group(0) @binding(3) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u, @builtin(num_workgroups) groups: vec3u) {
  for (var i = id.x; i < run.T * N; i += groups.x * WG) {
    let v = clamp(a[i], -100.0, 100.0);
    if (SUM) {
      y[i] = a[i] + b[i];
    } else {
      let bent = safe_tanh(0.7978845608 * fma(0.044715 * v * v, v, v));
      if (DERIVATIVE) {
        let inner = 0.7978845608 * fma(0.134145 * v, v, 1.0);
        y[i] = b[i] * (0.5 * (1.0 + bent) + 0.5 * v * (1.0 - bent * bent) * inner);
      } else {
        y[i] = 0.5 * a[i] * (1.0 + bent);
      }
    }
  }
}
