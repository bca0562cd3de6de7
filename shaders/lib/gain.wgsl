// gain: alpha * x without overflow, for functions that are flat far out
//   over:    each value alone
//   numeric: where |alpha| > 1, x is held to 1e15 first: the function is long flat there and the product stays finite
fn gain(alpha: f32, x: f32) -> f32 {
  return alpha * select(x, clamp(x, -1e15, 1e15), abs(alpha) > 1.0);
}
