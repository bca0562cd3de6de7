// patches: row t of y is patch t - 1 of an image, channel by channel; row 0 is zeros, for the class token
//   over:    each value alone
//   paper:   Dosovitskiy et al. 2021, arXiv:2010.11929: a convolution whose stride is its width is a Linear of patches
//   uses:    run
// The host adds: WG, K = channels · DOWN · ACROSS values a patch of DOWN × ACROSS pixels, WIDTH and HEIGHT of the image.
@group(0) @binding(0) var<storage, read> pixels: array<f32>;   // [channels, HEIGHT, WIDTH]
@group(0) @binding(1) var<storage, read_write> y: array<f32>;  // [T, K]
@group(0) @binding(2) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let k = id.x;
  if (k >= K || t >= run.T) { return; }
  var value = 0.0;
  if (t > 0u) {
    let patch_row = (t - 1u) / (WIDTH / ACROSS);
    let patch_column = (t - 1u) % (WIDTH / ACROSS);
    let channel = k / (DOWN * ACROSS);
    let row = patch_row * DOWN + k / ACROSS % DOWN;
    value = pixels[(channel * HEIGHT + row) * WIDTH + patch_column * ACROSS + k % ACROSS];
  }
  y[t * K + k] = value;
}
