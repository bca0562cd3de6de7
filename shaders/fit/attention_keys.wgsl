// attention_keys: gradients of k and v
//   over:    the heads that share this key, and of each the tokens from this one on; one lane a token and head of keys
//   paper:   Dao et al. 2022, arXiv:2205.14135, appendix B.2
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let key = id.x;
  if (key >= run.T) { return; }
  let shared_head = id.y * D;
  let k = key * KV + shared_head;
  var dk: array<f32, D>;
  var dv: array<f32, D>;
  for (var h = id.y * GROUP; h < (id.y + 1u) * GROUP; h++) {
    let head = h * D;
    for (var t = key; t < run.T; t++) {
      let q = t * ROW + head;
      var score = 0.0;
      var dp = 0.0;
      for (var d = 0u; d < D; d++) {
        score = fma(qkv[q + d] * SCALE, cache[k + d], score);
        dp = fma(dy[t * C + head + d], cache[CONTEXT * KV + k + d], dp);
      }
      let row = rows[t * H + h];
      let p = exp(score - row.x);
      let ds = p * (dp - row.y) * SCALE;
      for (var d = 0u; d < D; d++) {
        dk[d] = fma(ds, qkv[q + d], dk[d]);
        dv[d] = fma(p, dy[t * C + head + d], dv[d]);
      }
    }
  }
  let at = key * ROW + C + shared_head;
  for (var i = 0u; i < D / 2u; i++) {
    let a = angle(key, i);
    dqkv[at + i] = dk[i] * a.x + dk[i + D / 2u] * a.y;
    dqkv[at + i + D / 2u] = dk[i + D / 2u] * a.x - dk[i] * a.y;
    dqkv[at + KV + i] = dv[i];
    dqkv[at + KV + i + D / 2u] = dv[i + D / 2u];
  }
}
