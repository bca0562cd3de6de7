// gather: x[t] = scale * wte[token[t]] + wpe[past + t] + types[type[t]]
//   over:    each value alone; one lane two channels
//   paper:   the scalar is DyT's, arXiv:2503.10622 appendix A; 1 where a checkpoint has none
//   numeric: f16 and bf16 tables widen exactly
//   uses:    run
// The host adds: WG, C channels (even or padded), PAIRS = ceil(C/2), LEARNED (positions are learned), TYPED (tokens have
// types), FIRST and COUNT: the table's rows that w holds; other tokens are left to other dispatches.
@group(0) @binding(0) var<storage, read> tokens: array<u32>;   // [CONTEXT], the cached ones too
@group(0) @binding(2) var<storage, read> wpe: array<f32>;      // [n_ctx, C], unread when positions are rotary
@group(0) @binding(3) var<storage, read> scale: array<f32>;    // [1]
@group(0) @binding(4) var<storage, read_write> y: array<f32>;  // [T, C]
@group(0) @binding(5) var<storage, read> types: array<u32>;    // [CONTEXT], unread without TYPED
@group(0) @binding(6) var<storage, read> wtt: array<f32>;      // [types, C], unread without TYPED
@group(0) @binding(7) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let pair = id.x;
  if (pair >= PAIRS || t >= run.T) { return; }
  let row = tokens[run.past + t] - FIRST; // wraps below FIRST
  if (row >= COUNT) { return; }
  var value = weight_pair(row * PAIRS + pair) * scale[0];
  let c = 2u * pair;
  if (LEARNED) {
    let i = (run.past + t) * C + c;
    value += vec2f(wpe[i], select(0.0, wpe[min(i + 1u, arrayLength(&wpe) - 1u)], c + 1u < C));
  }
  if (TYPED) {
    let i = types[run.past + t] * C + c;
    value += vec2f(wtt[i], select(0.0, wtt[min(i + 1u, arrayLength(&wtt) - 1u)], c + 1u < C));
  }
  y[t * C + c] = value.x;
  if (c + 1u < C) { y[t * C + c + 1u] = value.y; }
}
