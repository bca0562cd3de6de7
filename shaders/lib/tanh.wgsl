// tanh: tanh(x) in f32, finite for every finite x
//   over:    each value alone
//   numeric: WGSL's own tanh may be NaN from |x| = 45 and loses digits near 0. Here: odd Taylor-like polynomial
//            below 0.625 (minimax), 1 - 2/(exp(2x)+1) above, argument held to 10 (f32 rounds to 1 from 9.01)
fn safe_tanh(x: f32) -> f32 {
  let held = clamp(x, -10.0, 10.0);
  let a = abs(held);
  let s = held * held;
  let e = exp(-2.0 * a);
  let outer = sign(held) * ((1.0 - e) / (1.0 + e));
  var p = fma(0.0151952431, s, -0.0519478209);
  p = fma(p, s, 0.1330817342);
  p = fma(p, s, -0.3333234191);
  return select(outer, fma(held * s, p, held), a < 0.625);
}
