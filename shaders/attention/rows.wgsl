// rows: heads[t] = softmax(q[t] · k[0..seen] / √D) v, for many tokens
//   over:    the keys this token sees; one lane a token and head
//   paper:   Vaswani et al. 2017, arXiv:1706.03762, eq. 1; running maximum: Milakov, Gimelshein 2018, arXiv:1805.02867
//   faster:  neighbouring lanes read the same keys at the same time, and no lane waits for another
//   numeric: softmax from the running maximum, so no exponent overflows
const HALF = D / 2u;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.x;
  if (t >= run.T) { return; }
  let head = id.y * D;
  let shared_head = id.y / GROUP * D;
  var query: array<vec2f, HALF>;
  var sum: array<vec2f, HALF>;
  for (var d = 0u; d < HALF; d++) {
    let q = t * (C + 2u * KV) + head + 2u * d;
    query[d] = vec2f(qkv[q], qkv[q + 1u]) * SCALE;
  }
  var largest = LOWEST;
  var total = 0.0;
  let keys = seen(t);
  for (var key = 0u; key < keys; key++) {
    let k = key * KV + shared_head;
    var score = vec2f(0.0);
    for (var d = 0u; d < HALF; d++) {
      score = fma(query[d], vec2f(cache[k + 2u * d], cache[k + 2u * d + 1u]), score);
    }
    let top = max(largest, score.x + score.y);
    let kept = exp(largest - top);
    let weight = exp(score.x + score.y - top);
    total = fma(total, kept, weight);
    largest = top;
    let v = CONTEXT * KV + k;
    for (var d = 0u; d < HALF; d++) {
      sum[d] = fma(sum[d], vec2f(kept), weight * vec2f(cache[v + 2u * d], cache[v + 2u * d + 1u]));
    }
  }
  for (var d = 0u; d < HALF; d++) {
    let at = t * C + head + 2u * d;
    y[at] = sum[d].x / total;
    y[at + 1u] = sum[d].y / total;
  }
}
