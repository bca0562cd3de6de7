// attention: what both halves of the backward share: ds = p (dy · v - dy · y), p = softmax(SCALE q · k), causal
//   over:    one lane a token and head
//   uses:    run
// The host adds: WG, C, D channels a head, H heads, KV channels of keys and of values, GROUP heads that share a key,
// CONTEXT, SCALE, ROTARY.
@group(0) @binding(0) var<storage, read> qkv: array<f32>;           // [T, C + 2 KV], q turned
@group(0) @binding(1) var<storage, read> cache: array<f32>;         // [2, CONTEXT, KV] k turned, then v
@group(0) @binding(2) var<storage, read> dy: array<f32>;            // [T, C]
@group(0) @binding(3) var<storage, read> turn: array<vec2f>;        // [CONTEXT, D/2] cos, sin
@group(0) @binding(4) var<storage, read_write> dqkv: array<f32>;    // [T, C + 2 KV] before the turn
@group(0) @binding(5) var<storage, read_write> rows: array<vec2f>;  // [T, H] log of the sum of exp, dy · y
@group(0) @binding(6) var<uniform> run: Run;

const ROW = C + 2u * KV;

fn angle(t: u32, i: u32) -> vec2f {
  return select(vec2f(1.0, 0.0), turn[t * (D / 2u) + i], ROTARY);
}
