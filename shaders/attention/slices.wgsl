// slices: heads[t] = softmax(q[t] · k[0..past+t] / √D) v, causal, for few tokens; a long cache is shared out, see join
//   over:    SLICE keys of one token and head a workgroup, 64 at a time
//   paper:   split-KV: Dao et al. 2023, Flash-Decoding; running maximum: Milakov, Gimelshein 2018, arXiv:1805.02867
//   numeric: softmax from the running maximum, so no exponent overflows
//   faster:  D/4 lanes read a row of the cache together, so that no line of it is fetched in parts
//   uses:    run, row
// The host adds: WG = 64 lanes, SPAN, SLICE, SLICES, and as in _io; D is a multiple of 4.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;        // [T, (C + 2 KV)/4], q turned
@group(0) @binding(1) var<storage, read> cache: array<vec4f>;      // [2, CONTEXT, KV/4] k, then v
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;    // [T, C/4]
@group(0) @binding(3) var<storage, read_write> parts: array<vec4f>;  // [T, H, SLICES, D/4 + 1] sums; maximum, total
@group(0) @binding(4) var<uniform> run: Run;

const LOWEST = -3.4e38;
const WIDTH = D / 4u;
const TEAMS = WG / WIDTH;
var<workgroup> products: array<f32, WG * (WIDTH + 1u)>;
var<workgroup> share: array<f32, WG>;
var<workgroup> sums: array<vec4f, WG>;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.z;
  let head = group.y * WIDTH;
  let shared_head = group.y / GROUP * WIDTH;
  let seen = run.past + t + 1u;
  let first = group.x * SLICE;
  if (first >= seen) { return; }
  let keys = min(seen, first + SLICE);
  let column = lane % WIDTH;
  let team = select(lane / WIDTH, WG, lane / WIDTH >= TEAMS); // lanes left over read nothing
  let q = qkv[t * ((C + 2u * KV) / 4u) + head + column] * SCALE;
  var largest = LOWEST;
  var total = 0.0;
  var sum = vec4f(0.0);
  for (var base = first; base < keys; base += WG) {
    let count = min(WG, keys - base);
    for (var key = team; key < count; key += TEAMS) {
      products[key * (WIDTH + 1u) + column] = dot(q, cache[(base + key) * (KV / 4u) + shared_head + column]);
    }
    workgroupBarrier();
    var score = LOWEST;
    if (lane < count) {
      score = 0.0;
      for (var d = 0u; d < WIDTH; d++) { score += products[lane * (WIDTH + 1u) + d]; }
    }
    let top = max(largest, row_max(vec2f(score), lane).x);
    let kept = exp(largest - top);
    let weight = select(0.0, exp(score - top), lane < count);
    largest = top;
    total = fma(total, kept, weight);
    share[lane] = weight;
    workgroupBarrier();
    sum *= kept;
    for (var key = team; key < count; key += TEAMS) {
      sum = fma(vec4f(share[key]), cache[(CONTEXT + base + key) * (KV / 4u) + shared_head + column], sum);
    }
  }
  let whole = row_sum(vec2f(total), lane).x;
  sums[lane] = sum;
  workgroupBarrier();
  if (lane >= WIDTH) { return; }
  for (var other = 1u; other < TEAMS; other++) { sum += sums[other * WIDTH + lane]; }
  if (seen <= SLICE) {
    y[t * (C / 4u) + head + lane] = sum / whole;
    return;
  }
  let part = ((t * (C / D) + group.y) * SLICES + group.x) * (WIDTH + 1u);
  parts[part + lane] = sum;
  if (lane == 0u) { parts[part + WIDTH] = vec4f(largest, whole, 0.0, 0.0); }
}
