// divergence: KL in nats of each row from what is wanted to what there is, and its gradient / T
//   over:    the V logits of a token; one workgroup a row
//   paper:   Hinton, Vinyals, Dean 2015, arXiv:1503.02531, temperature 1
//   numeric: both softmaxes from their maxima
//   uses:    run, row
@group(0) @binding(0) var<storage, read> logits: array<f32>;          // [T, V]
@group(0) @binding(1) var<storage, read> wanted: array<f32>;          // [T, V]
@group(0) @binding(2) var<storage, read_write> dlogits: array<f32>;   // [T, V]
@group(0) @binding(3) var<storage, read_write> losses: array<f32>;    // [T]
@group(0) @binding(4) var<uniform> run: Run;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = group.x * V;
  var largest = vec2f(-3.4e38);
  for (var i = lane; i < V; i += WG) { largest = max(largest, vec2f(logits[row + i], wanted[row + i])); }
  largest = row_max(largest, lane);
  var sum = vec2f(0.0);
  for (var i = lane; i < V; i += WG) { sum += exp(vec2f(logits[row + i], wanted[row + i]) - largest); }
  let lse = largest + log(row_sum(sum, lane));
  var apart = 0.0;
  for (var i = lane; i < V; i += WG) {
    let own = vec2f(logits[row + i], wanted[row + i]) - lse; // logarithms of q and p
    let p = exp(own.y);
    apart += p * (own.y - own.x);
    dlogits[row + i] = (exp(own.x) - p) / f32(run.T);
  }
  let loss = row_sum(vec2f(apart, 0.0), lane).x;
  if (lane == 0u) { losses[group.x] = loss; }
}
