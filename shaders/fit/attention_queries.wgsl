// attention_queries: gradient of q, and of each row what the keys need to know of it
//   over:    the keys up to this token; one lane a token and head
//   paper:   Dao et al. 2022, arXiv:2205.14135, appendix B.2
//   numeric: softmax from the running maximum
@compute @workgroup_size(WG)
fn backward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.x;
  if (t >= run.T) { return; }
  let head = id.y * D;
  let shared_head = id.y / GROUP * D;
  var query: array<f32, D>;
  var given: array<f32, D>;
  var sum: array<f32, D>;
  for (var d = 0u; d < D; d++) {
    query[d] = qkv[t * ROW + head + d] * SCALE;
    given[d] = dy[t * C + head + d];
  }
  var largest = -3.4e38;
  var total = 0.0;
  var apart = 0.0; // sum over keys of exp(score) (dy · v)
  for (var key = 0u; key <= t; key++) {
    let k = key * KV + shared_head;
    var score = 0.0;
    var dp = 0.0;
    for (var d = 0u; d < D; d++) {
      score = fma(query[d], cache[k + d], score);
      dp = fma(given[d], cache[CONTEXT * KV + k + d], dp);
    }
    let top = max(largest, score);
    let kept = exp(largest - top);
    let weight = exp(score - top);
    total = fma(total, kept, weight);
    apart = fma(apart, kept, weight * dp);
    largest = top;
  }
  let lse = largest + log(total);
  let delta = apart / total;
  rows[t * H + id.y] = vec2f(lse, delta);
  for (var key = 0u; key <= t; key++) {
    let k = key * KV + shared_head;
    var score = 0.0;
    var dp = 0.0;
    for (var d = 0u; d < D; d++) {
      score = fma(query[d], cache[k + d], score);
      dp = fma(given[d], cache[CONTEXT * KV + k + d], dp);
    }
    let ds = exp(score - lse) * (dp - delta) * SCALE;
    for (var d = 0u; d < D; d++) { sum[d] = fma(ds, cache[k + d], sum[d]); }
  }
  for (var i = 0u; i < D / 2u; i++) {
    let a = angle(t, i);
    let at = t * ROW + head + i;
    dqkv[at] = sum[i] * a.x + sum[i + D / 2u] * a.y;
    dqkv[at + D / 2u] = sum[i + D / 2u] * a.x - sum[i] * a.y;
  }
}
