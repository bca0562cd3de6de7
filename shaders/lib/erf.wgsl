// erf: erf(x) in f32, finite for every finite x; WGSL has none
//   over:    each value alone
//   numeric: odd polynomial below 0.9, 1 - exp(-t q(t)) above, argument held to 3.92 (f32 rounds to 1 there);
//            about 2e-7 relative, also near 0 where Abramowitz-Stegun 7.1.26 loses every digit
fn safe_erf(x: f32) -> f32 {
  let held = clamp(x, -3.92, 3.92);
  let t = abs(held);
  let s = held * held;
  var p = fma(-6.09032693e-4, s, 5.01195667e-3);
  p = fma(p, s, -2.67789047e-2);
  p = fma(p, s, 1.12821408e-1);
  p = fma(p, s, -3.76125246e-1);
  p = fma(p, s, 1.12837911);
  var q = fma(1.04324472e-5, t, -3.14851583e-4);
  q = fma(q, t, 3.61031597e-3);
  q = fma(q, t, -2.36945115e-2);
  q = fma(q, t, 1.06158987e-1);
  q = fma(q, t, 6.35198057e-1);
  q = fma(q, t, 1.12863708);
  return select(sign(held) * (1.0 - exp(-t * q)), held * p, t < 0.9);
}
