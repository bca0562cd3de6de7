// rotate: q and k turned by their position, q in place; k and v appended to the cache
//   over:    pairs (i, i + D/2) of a head; one lane a pair
//   paper:   Su et al. 2021, arXiv:2104.09864, halves rotated as in GPT-NeoX
//   numeric: cos and sin come from a float64 table: WGSL's own are only good to 2^-11 and inside [-π, π]
//   uses:    run
// The host adds: WG, C channels, D channels a head, CONTEXT rows of the cache, ROTARY.
@group(0) @binding(0) var<storage, read_write> qkv: array<f32>;    // [T, 3C] rows q, k, v
@group(0) @binding(1) var<storage, read> turn: array<vec2f>;       // [CONTEXT, D/2] cos, sin
@group(0) @binding(2) var<storage, read_write> cache: array<f32>;  // [2, CONTEXT, C] k, then v
@group(0) @binding(3) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.y;
  let pair = id.x;
  if (pair >= C / 2u || t >= run.T) { return; }
  let position = run.past + t;
  let i = pair % (D / 2u);
  let c = (pair / (D / 2u)) * D + i;
  let q = t * 3u * C + c;
  let k = q + C;
  let v = k + C;
  var angle = vec2f(1.0, 0.0);
  if (ROTARY) { angle = turn[position * (D / 2u) + i]; }
  let far = D / 2u;
  let q_turned = turned(vec2f(qkv[q], qkv[q + far]), angle);
  qkv[q] = q_turned.x;
  qkv[q + far] = q_turned.y;
  let k_turned = turned(vec2f(qkv[k], qkv[k + far]), angle);
  let at = position * C + c;
  cache[at] = k_turned.x;
  cache[at + far] = k_turned.y;
  cache[CONTEXT * C + at] = qkv[v];
  cache[CONTEXT * C + at + far] = qkv[v + far];
}

fn turned(p: vec2f, angle: vec2f) -> vec2f {
  return vec2f(p.x * angle.x - p.y * angle.y, p.y * angle.x + p.x * angle.y);
}
