// The attention family's one signature: heads[t] = softmax(SCALE q[t] · k[0..seen(t)]) v.
// The host adds: WG lanes, C channels of all heads, D channels a head (even), KV channels of keys and of values, GROUP
// heads that share a key (Ainslie et al. 2023, arXiv:2305.13245), PER_LANE = ceil(D/WG), SCALE, CONTEXT rows, CAUSAL (a
// token sees itself and earlier ones, else all).
//   uses:    run
@group(0) @binding(0) var<storage, read> qkv: array<f32>;          // [T, C + 2 KV], q turned
@group(0) @binding(1) var<storage, read> cache: array<f32>;        // [2, CONTEXT, KV] k, then v
@group(0) @binding(2) var<storage, read_write> y: array<f32>;      // [T, C]
@group(0) @binding(3) var<uniform> run: Run;
const LOWEST = -3.4e38;

// How many keys token t sees.
fn seen(t: u32) -> u32 {
  return run.past + select(run.T, t + 1u, CAUSAL);
}
