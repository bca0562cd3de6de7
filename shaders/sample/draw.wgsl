// draw: tokens[past + T] = the id with the largest logit + temperature * Gumbel noise, of the k best ranked or of all
//   over:    the V logits of the last token; a workgroup a slice of SLICE, then one over what the slices keep
//   paper:   Gumbel-max: Maddison, Tarlow, Minka 2014, arXiv:1411.0030
//   numeric: ranked as integers: NaN counts as -inf, zeros of either sign are one, ties go to the lower id, and no
//            compiler can assume them away. The noise is a hash of position and id, so it does not depend on the grid
//   faster:  no sort: the k-th best is found a radix digit a round, and what a slice keeps has no order
//   uses:    run
// The host adds: WG lanes, SPAN = √WG, V, SLICE, SLICES, NOISE (temperature > 0), TOP (k best only),
// NARROWED (what the slices kept is looked at), FINAL (a token is written).
struct Draws {
  temperature: f32,
  k: u32,
  words: array<u32>, // [CONTEXT] a random word a position
}
@group(0) @binding(0) var<storage, read> logits: array<u32>;            // [T, V] bits of f32
@group(0) @binding(1) var<storage, read> draws: Draws;
@group(0) @binding(2) var<storage, read_write> finalists: array<u32>;   // [V] ids that the slices keep
@group(0) @binding(3) var<storage, read_write> tokens: array<u32>;      // [CONTEXT]
@group(0) @binding(4) var<uniform> run: Run;

const INFINITY = 0x7f800000u;
const LAST_ID = 0xffffffu;
var<workgroup> best_part: array<vec2u, WG>;
var<workgroup> bins: array<atomic<u32>, 256>;
var<workgroup> coarse: array<u32, 16>;
var<workgroup> chosen: vec3u;
var<workgroup> kept: atomic<u32>;

// Where the k best end: kept is who is at least `lowest` in the digits of `mask`.
struct Cut {
  lowest: vec2u,
  mask: vec2u,
}

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let base = group.x * SLICE;
  var count = min(SLICE, V - base);
  if (NARROWED) { count = (SLICES - 1u) * share(SLICE) + share(V - (SLICES - 1u) * SLICE); }
  var cut = Cut();
  if (TOP) { cut = cut_of(base, count, lane); }
  var best = vec2u(0u);
  for (var i = lane; i < count; i += WG) {
    let id = candidate(base, i);
    if (TOP && !is_at_least(rank(id) & cut.mask, cut.lowest)) { continue; }
    if (TOP && !FINAL) {
      finalists[group.x * share(SLICE) + atomicAdd(&kept, 1u)] = id;
    } else {
      best = better(best, score(id));
    }
  }
  if (TOP && !FINAL) { return; }
  best_part[lane] = best;
  workgroupBarrier();
  if (lane < SPAN) {
    for (var i = 1u; i < SPAN; i++) { best = better(best, best_part[lane + i * SPAN]); }
    best_part[lane] = best;
  }
  workgroupBarrier();
  if (lane == 0u) {
    for (var i = 1u; i < SPAN; i++) { best = better(best, best_part[i]); }
    let id = LAST_ID - best.y;
    if (FINAL) { tokens[run.past + run.T] = id; } else { finalists[group.x] = id; }
  }
}

// Ids that `count` of them hand on.
fn share(count: u32) -> u32 {
  if (TOP) { return min(draws.k, count); }
  return 1u;
}

fn candidate(base: u32, i: u32) -> u32 {
  if (NARROWED) { return finalists[i]; }
  return base + i;
}

// The place of the k-th best, a digit of eight bits a round from the top: four of the value, three of the id.
fn cut_of(base: u32, count: u32, lane: u32) -> Cut {
  var cut = Cut();
  var left = draws.k;
  if (left >= count) { return cut; }
  for (var round = 0u; round < 7u; round++) {
    let shift = 24u - 8u * (round % 4u) - select(0u, 8u, round >= 4u);
    let part = round / 4u;
    for (var i = lane; i < 256u; i += WG) { atomicStore(&bins[i], 0u); }
    workgroupBarrier();
    for (var i = lane; i < count; i += WG) {
      let place = rank(candidate(base, i));
      if (all((place & cut.mask) == cut.lowest)) { atomicAdd(&bins[(place[part] >> shift) & 255u], 1u); }
    }
    workgroupBarrier();
    if (lane < 16u) {
      var sum = 0u;
      for (var i = 0u; i < 16u; i++) { sum += atomicLoad(&bins[lane * 16u + i]); }
      coarse[lane] = sum;
    }
    workgroupBarrier();
    if (lane == 0u) {
      var rest = left;
      var few = 15u;
      while (coarse[few] < rest) {
        rest -= coarse[few];
        few -= 1u;
      }
      var bin = few * 16u + 15u;
      while (atomicLoad(&bins[bin]) < rest) {
        rest -= atomicLoad(&bins[bin]);
        bin -= 1u;
      }
      chosen = vec3u(bin, rest, atomicLoad(&bins[bin]));
    }
    let found = workgroupUniformLoad(&chosen);
    cut.lowest[part] |= found.x << shift;
    cut.mask[part] |= 255u << shift;
    left = found.y;
    if (found.z == left) { break; } // the whole bin is kept
  }
  return cut;
}

// Larger is ranked before: the value, then the lower id.
fn rank(id: u32) -> vec2u {
  return vec2u(ordered(logit(id)), LAST_ID - id);
}

// As `rank`, with the noise of this position added to the value.
fn score(id: u32) -> vec2u {
  let bits = logit(id);
  if (!NOISE || (bits & INFINITY) == INFINITY) { return vec2u(ordered(bits), LAST_ID - id); }
  let noisy = bitcast<f32>(bits) + draws.temperature * gumbel(draws.words[run.past + run.T], id);
  return vec2u(ordered(tidy(bitcast<u32>(noisy))), LAST_ID - id);
}

fn logit(id: u32) -> u32 {
  return tidy(logits[(run.T - 1u) * V + id]);
}

// Bits of a value, NaN as -inf and -0 as 0.
fn tidy(bits: u32) -> u32 {
  let size = bits & 0x7fffffffu;
  if (size > INFINITY) { return INFINITY | 0x80000000u; }
  return select(bits, 0u, size == 0u);
}

// Bits of a float as an integer of the same order.
fn ordered(bits: u32) -> u32 {
  return select(bits | 0x80000000u, ~bits, bits >= 0x80000000u);
}

fn is_at_least(a: vec2u, b: vec2u) -> bool {
  return a.x > b.x || (a.x == b.x && a.y >= b.y);
}

fn better(a: vec2u, b: vec2u) -> vec2u {
  return select(b, a, is_at_least(a, b));
}

// -log(-log(1 - u)) for u of 32 hashed bits; both ends of u keep their digits.
fn gumbel(word: u32, id: u32) -> f32 {
  let hash = mixed(mixed(id + 0x9e3779b9u) ^ word);
  if (hash >= 0x80000000u) { return -log(-log((f32(~hash) + 0.5) * 0x1p-32)); }
  // -log(1 - u) = 2 atanh(u / (2 - u))
  let u = (f32(hash) + 0.5) * 0x1p-32;
  let z = u / (2.0 - u);
  let s = z * z;
  var series = 1.0 / 13.0;
  series = fma(series, s, 1.0 / 11.0);
  series = fma(series, s, 1.0 / 9.0);
  series = fma(series, s, 1.0 / 7.0);
  series = fma(series, s, 1.0 / 5.0);
  series = fma(series, s, 1.0 / 3.0);
  return -log(2.0 * fma(series * s, z, z));
}

// 32 well mixed bits of 32: lowbias32, Chris Wellons, hash-prospector.
fn mixed(bits: u32) -> u32 {
  var x = bits;
  x = (x ^ (x >> 16u)) * 0x7feb352du;
  x = (x ^ (x >> 15u)) * 0x846ca68bu;
  return x ^ (x >> 16u);
}
