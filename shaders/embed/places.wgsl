// places: x[0] = class + position[0], x[t] = bias + position[t]: what the Linear of the patches is added to
//   over:    each value alone
//   paper:   Dosovitskiy et al. 2021, arXiv:2010.11929, eq. 1
//   uses:    run
// The host adds: WG, C channels.
@group(0) @binding(0) var<storage, read> wpe: array<f32>;      // [T, C]
@group(0) @binding(1) var<storage, read> class_token: array<f32>; // [C]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [C]
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [T, C]
@group(0) @binding(4) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let c = id.x;
  if (c >= C || t >= run.T) { return; }
  y[t * C + c] = select(bias[c], class_token[c], t == 0u) + wpe[t * C + c];
}
