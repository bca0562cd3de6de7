// join: heads[t] = Σ exp(m - max) sum / Σ exp(m - max) total, over the slices of a token's keys
//   over:    the slices of one token and head; one lane a vec4 of the output
//   paper:   split-KV: Dao et al. 2023, Flash-Decoding
//   numeric: from the largest maximum, so no exponent overflows
//   uses:    run
// The host adds: WG >= D/4 lanes, C channels, D channels a head (a multiple of 4), SLICE, SLICES.
@group(0) @binding(0) var<storage, read> parts: array<vec4f>;      // [T, H, SLICES, D/4 + 1] as slices leaves them
@group(0) @binding(1) var<storage, read_write> y: array<vec4f>;    // [T, C/4]
@group(0) @binding(2) var<uniform> run: Run;

const WIDTH = D / 4u;

@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let t = group.x;
  let seen = run.past + t + 1u;
  if (seen <= SLICE || lane >= WIDTH) { return; } // one slice has written its output itself
  let slices = (seen + SLICE - 1u) / SLICE;
  let first = (t * (C / D) + group.y) * SLICES * (WIDTH + 1u);
  var largest = parts[first + WIDTH].x;
  for (var s = 1u; s < slices; s++) { largest = max(largest, parts[first + s * (WIDTH + 1u) + WIDTH].x); }
  var total = 0.0;
  var sum = vec4f(0.0);
  for (var s = 0u; s < slices; s++) {
    let part = first + s * (WIDTH + 1u);
    let kept = exp(parts[part + WIDTH].x - largest);
    total = fma(kept, parts[part + WIDTH].y, total);
    sum = fma(vec4f(kept), parts[part + lane], sum);
  }
  y[t * (C / 4u) + group.y * WIDTH + lane] = sum / total;
}
