// split: heads[t] = softmax(q[t] · k[0..seen] / √D) v, for few tokens
//   over:    the keys this token sees; one workgroup a (token, head), 64 keys at a time
//   paper:   Vaswani et al. 2017, arXiv:1706.03762, eq. 1; running maximum: Milakov, Gimelshein 2018, arXiv:1805.02867
//   numeric: softmax from the running maximum, so no exponent overflows
//   faster:  the keys of one token are shared out among 64 lanes
//   uses:    row
var<workgroup> query: array<f32, D>;
var<workgroup> share: array<f32, WG>;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let head = group.y * D;
  let shared_head = group.y / GROUP * D;
  let keys = seen(t);
  for (var d = lane; d < D; d += WG) { query[d] = qkv[t * (C + 2u * KV) + head + d] * SCALE; }
  workgroupBarrier();
  var largest = LOWEST;
  var total = 0.0;
  var sum: array<f32, PER_LANE>;
  for (var base = 0u; base < keys; base += WG) {
    let key = base + lane;
    var score = LOWEST;
    if (key < keys) {
      score = 0.0;
      for (var d = 0u; d < D; d++) { score = fma(query[d], cache[key * KV + shared_head + d], score); }
    }
    let top = max(largest, row_max(vec2f(score), lane).x);
    let weight = select(0.0, exp(score - top), key < keys);
    share[lane] = weight;
    let kept = exp(largest - top);
    total = total * kept + row_sum(vec2f(weight), lane).x;
    largest = top;
    let count = min(WG, keys - base);
    for (var i = 0u; i < PER_LANE; i++) {
      let d = lane + i * WG;
      if (d < D) {
        var value = sum[i] * kept;
        for (var j = 0u; j < count; j++) {
          value = fma(share[j], cache[(CONTEXT + base + j) * KV + shared_head + d], value);
        }
        sum[i] = value;
      }
    }
    workgroupBarrier();
  }
  for (var i = 0u; i < PER_LANE; i++) {
    let d = lane + i * WG;
    if (d < D) { y[t * C + head + d] = sum[i] / total; }
  }
}
