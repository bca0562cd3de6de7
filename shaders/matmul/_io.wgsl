// The matmul family's one signature: y[t, n] = epilogue(sum over k of in[t, k] w[n, k] + bias[n]), where `in` is x
// (_as_is) or a norm of it (_normed). Weights are out × in; lib/weight_* binds them, in pairs or in quads of K; x is
// read in quads by _x_quads, or by _x_ragged where K is no multiple of 4. The host adds: LANES a workgroup, ROWS
// tokens a workgroup, K inputs, N outputs, PAIRS = ceil(K/2) and QUADS = ceil(K/4) a row, BIAS (there is one), ACT (1, 2,
// 3: GELU by erf, by tanh, quick; Hendrycks & Gimpel 2016, arXiv:1606.08415), ADD (y is the residual stream and is added
// to), FIRST and STRIDE: these are outputs FIRST and on of the STRIDE that a row of y has.
//   uses:    run, tanh, erf
@group(0) @binding(0) var<storage, read> x: array<f32>;        // [T, K]
@group(0) @binding(2) var<storage, read> bias: array<f32>;     // [STRIDE], unread without BIAS
@group(0) @binding(3) var<storage, read_write> y: array<f32>;  // [T, STRIDE]
@group(0) @binding(4) var<uniform> run: Run;

fn act(v: f32) -> f32 {
  if (ACT == 1u) { return 0.5 * v * (1.0 + safe_erf(0.7071067812 * v)); }
  if (ACT == 3u) {
    let kept = max(v, -50.0); // the exponent must stay finite; the product is 0 long before
    return kept / (1.0 + exp(-1.702 * kept));
  }
  let held = clamp(v, -100.0, 100.0); // the cube must stay finite; tanh is flat long before
  return 0.5 * v * (1.0 + safe_tanh(0.7978845608 * fma(0.044715 * held * held, held, held)));
}

fn store(t: u32, n: u32, sum: f32) {
  var value = sum;
  if (BIAS) { value += bias[FIRST + n]; }
  if (ACT != 0u) { value = act(value); }
  let i = t * STRIDE + FIRST + n;
  if (ADD) { value += y[i]; }
  y[i] = value;
}
