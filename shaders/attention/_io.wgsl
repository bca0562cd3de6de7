// The attention family's one signature: heads[t] = softmax(q[t] · k[0..past+t] / √D) v, causal.
// The host adds: WG lanes, C channels, D channels a head (even), PER_LANE = ceil(D/WG), SCALE = 1/√D, CONTEXT rows.
//   uses:    run
@group(0) @binding(0) var<storage, read> qkv: array<f32>;          // [T, 3C], q turned
@group(0) @binding(1) var<storage, read> cache: array<f32>;        // [2, CONTEXT, C] k, then v
@group(0) @binding(2) var<storage, read_write> y: array<f32>;      // [T, C]
@group(0) @binding(3) var<uniform> run: Run;
const LOWEST = -3.4e38;
