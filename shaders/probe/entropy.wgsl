// entropy: of the shares p that a token's head gives to the keys it sees, -Σ p ln p in nats
//   over:    the keys of one token; one lane a token and head, as attention/rows
//   numeric: one pass from the running maximum m: ln Σ e^d - Σ d e^d / Σ e^d with d = score - m, so nothing overflows;
//            what is left of a share beyond e^-200 is nothing
//   uses:    run
// Beside the attention family's own bindings. The host adds: ROWS a head.
@group(1) @binding(0) var<storage, read_write> entropy: array<f32>;  // [layers, H, ROWS]
@group(1) @binding(1) var<uniform> layer: Layer;

struct Layer {
  index: u32, // which layer of the model this is
}

const HALF = D / 2u;
const NOTHING = -200.0;

@compute @workgroup_size(WG)
fn forward(@builtin(global_invocation_id) id: vec3u) {
  let t = id.x;
  if (t >= run.T) { return; }
  let shared_head = id.y / GROUP * D;
  var query: array<vec2f, HALF>;
  for (var d = 0u; d < HALF; d++) {
    let q = t * (C + 2u * KV) + id.y * D + 2u * d;
    query[d] = vec2f(qkv[q], qkv[q + 1u]) * SCALE;
  }
  var largest = LOWEST;
  var total = 0.0;  // of e^d
  var spread = 0.0; // of d e^d
  let keys = seen(t);
  for (var key = 0u; key < keys; key++) {
    let k = key * KV + shared_head;
    var pair = vec2f(0.0);
    for (var d = 0u; d < HALF; d++) {
      pair = fma(query[d], vec2f(cache[k + 2u * d], cache[k + 2u * d + 1u]), pair);
    }
    let score = pair.x + pair.y;
    let top = max(largest, score);
    let down = max(largest - top, NOTHING);
    let own = max(score - top, NOTHING);
    let weight = exp(own);
    spread = fma(exp(down), fma(total, down, spread), weight * own);
    total = fma(total, exp(down), weight);
    largest = top;
  }
  entropy[(layer.index * (C / D) + id.y) * ROWS + t] = max(0.0, log(total) - spread / total);
}
