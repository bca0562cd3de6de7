// rotate: q and k turned by their position, q in place; k and v appended to the cache
//   over:    pairs (i, i + D/2) of a head; one lane a pair
//   paper:   Su et al. 2021, arXiv:2104.09864, halves rotated as in GPT-NeoX
//   numeric: cos and sin come from a float64 table: WGSL's own are only good to 2^-11 and inside [-π, π]
//   uses:    run
// The host adds: WG, C channels of all heads, D channels a head, KV <= C channels of keys and of values, CONTEXT rows of
// the cache, ROTARY.
@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;    // [T, C + 2 KV] rows q, k, v
@group(0) @binding(1) var<storage, read> turn: array<vec2f>;       // [CONTEXT, D/2] cos, sin
@group(0) @binding(2) var<storage, read_write> cache: array<f32>;  // [2, CONTEXT, KV] k, then v
@group(0) @binding(3) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let pair = id.x;
  if (pair >= C / 2u || t >= run.T) { return; }
  let position = run.past + t;
  let i = pair % (D / 2u);
  let c = (pair / (D / 2u)) * D + i;
  let q = t * (C + 2u * KV) + c;
  let far = D / 2u;
  var angle = vec2f(1.0, 0.0);
  if (ROTARY) {
    angle = turn[position * far + i];
    let turned_q = turned(vec2f(qkv[q], qkv[q + far]), angle);
    qkv[q] = turned_q.x;
    qkv[q + far] = turned_q.y;
  }
  if (c >= KV) { return; }
  let k = q + C;
  let v = k + KV;
  let turned_k = turned(vec2f(qkv[k], qkv[k + far]), angle);
  let at = position * KV + c;
  cache[at] = turned_k.x;
  cache[at + far] = turned_k.y;
  cache[CONTEXT * KV + at] = qkv[v];
  cache[CONTEXT * KV + at + far] = qkv[v + far];
}

fn turned(p: vec2f, angle: vec2f) -> vec2f {
  return vec2f(p.x * angle.x - p.y * angle.y, p.y * angle.x + p.x * angle.y);
}
