// flash: heads[t] = softmax(q[t] · k[0..seen] / √D) v, for many tokens
//   over:    ROWS tokens of one head a workgroup, KEYS keys at a time in workgroup memory
//   paper:   Dao et al. 2022, arXiv:2205.14135; running maximum: Milakov, Gimelshein 2018, arXiv:1805.02867
//   numeric: softmax from the running maximum, so no exponent overflows; keys behind a token weigh exactly 0
//   faster:  8 × 8 lanes hold the scores in registers, ROWS/8 × KEYS/8 each, then four rows of one output column each;
//            k and v take turns in one tile, whose rows are a vec4 longer than they need, to lie in different banks
//   uses:    run
// The host adds: WG = 64 lanes, ROWS, KEYS, and as in _io; D is a multiple of 4.
@group(0) @binding(0) var<storage, read> qkv: array<vec4f>;        // [T, (C + 2 KV)/4], q turned
@group(0) @binding(1) var<storage, read> cache: array<vec4f>;      // [2, CONTEXT, KV/4] k, then v
@group(0) @binding(2) var<storage, read_write> y: array<vec4f>;    // [T, C/4]
@group(0) @binding(3) var<uniform> run: Run;

const LOWEST = -3.4e38;
const SIDE = 8u;
const DOWN = ROWS / SIDE;
const ACROSS = KEYS / SIDE;
const WIDTH = D / 4u;
const PITCH = WIDTH + 1u;
// Output columns of four rows, and how many a lane has.
const COLUMNS = ROWS / 4u * WIDTH;
const OWN = (COLUMNS + WG - 1u) / WG;
var<workgroup> query: array<vec4f, ROWS * PITCH>;
var<workgroup> tile: array<vec4f, KEYS * PITCH>;
var<workgroup> weight: array<f32, KEYS * ROWS>;
var<workgroup> part: array<f32, ROWS * SIDE>;
var<workgroup> kept: array<f32, ROWS>;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let first = group.x * ROWS;
  let head = group.y * WIDTH;
  let shared_head = group.y / GROUP * WIDTH;
  for (var i = lane; i < ROWS * WIDTH; i += WG) {
    let t = min(first + i / WIDTH, run.T - 1u);
    query[i / WIDTH * PITCH + i % WIDTH] = qkv[t * ((C + 2u * KV) / 4u) + head + i % WIDTH] * SCALE;
  }
  let x = lane % SIDE;
  let y0 = lane / SIDE;
  var largest: array<f32, DOWN>;
  var total: array<f32, DOWN>;
  for (var r = 0u; r < DOWN; r++) { largest[r] = LOWEST; }
  var sum: array<array<vec4f, 4>, OWN>;
  let keys = run.past + select(run.T, min(run.T, first + ROWS), CAUSAL);
  for (var base = 0u; base < keys; base += KEYS) {
    workgroupBarrier(); // the query is there, or nobody reads the last tile any more
    stage(0u, base, keys, shared_head, lane);
    workgroupBarrier();
    var score = array<array<f32, ACROSS>, DOWN>(); // Chromium 156 zeroes a bare var of a loop once, not each round
    for (var d = 0u; d < WIDTH; d++) {
      var k: array<vec4f, ACROSS>;
      for (var j = 0u; j < ACROSS; j++) { k[j] = tile[(x + j * SIDE) * PITCH + d]; }
      for (var r = 0u; r < DOWN; r++) {
        let q = query[(y0 + r * SIDE) * PITCH + d];
        for (var j = 0u; j < ACROSS; j++) { score[r][j] += dot(q, k[j]); }
      }
    }
    for (var r = 0u; r < DOWN; r++) {
      let row = y0 + r * SIDE;
      var top = LOWEST;
      for (var j = 0u; j < ACROSS; j++) {
        let key = base + x + j * SIDE;
        let isBehind = select(key >= keys, key > run.past + first + row, CAUSAL);
        score[r][j] = select(score[r][j], LOWEST, isBehind);
        top = max(top, score[r][j]);
      }
      part[row * SIDE + x] = top;
    }
    workgroupBarrier(); // everybody has scored: the tile is free
    stage(1u, base, keys, shared_head, lane);
    for (var r = 0u; r < DOWN; r++) {
      let row = y0 + r * SIDE;
      var top = largest[r];
      for (var i = 0u; i < SIDE; i++) { top = max(top, part[row * SIDE + i]); }
      let keep = exp(largest[r] - top);
      largest[r] = top;
      total[r] *= keep;
      for (var j = 0u; j < ACROSS; j++) {
        let share = exp(score[r][j] - top);
        total[r] += share;
        weight[(x + j * SIDE) * ROWS + row] = share;
      }
      if (x == 0u) { kept[row] = keep; }
    }
    workgroupBarrier();
    for (var own = 0u; own < OWN; own++) {
      let at = lane + own * WG;
      if (at >= COLUMNS) { break; }
      let row = at / WIDTH * 4u;
      for (var i = 0u; i < 4u; i++) { sum[own][i] *= kept[row + i]; }
      for (var key = 0u; key < KEYS; key++) {
        let v = tile[key * PITCH + at % WIDTH];
        for (var i = 0u; i < 4u; i++) {
          sum[own][i] = fma(vec4f(weight[key * ROWS + row + i]), v, sum[own][i]);
        }
      }
    }
  }
  for (var r = 0u; r < DOWN; r++) { part[(y0 + r * SIDE) * SIDE + x] = total[r]; }
  workgroupBarrier();
  for (var own = 0u; own < OWN; own++) {
    let at = lane + own * WG;
    if (at >= COLUMNS) { break; }
    for (var i = 0u; i < 4u; i++) {
      let row = at / WIDTH * 4u + i;
      var whole = 0.0;
      for (var j = 0u; j < SIDE; j++) { whole += part[row * SIDE + j]; }
      if (first + row < run.T) { y[(first + row) * (C / 4u) + head + at % WIDTH] = sum[own][i] / whole; }
    }
  }
}

// Keys (side 0) or values (side 1) from `base` on into the tile; zeros where there are none.
fn stage(side: u32, base: u32, keys: u32, head: u32, lane: u32) {
  for (var i = lane; i < KEYS * WIDTH; i += WG) {
    let key = base + i / WIDTH;
    var value = vec4f(0.0);
    if (key < keys) { value = cache[(side * CONTEXT + key) * (KV / 4u) + head + i % WIDTH]; }
    tile[i / WIDTH * PITCH + i % WIDTH] = value;
  }
}
