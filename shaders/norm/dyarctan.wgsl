// dyarctan: y = gamma * (2/pi) atan(alpha * x + shift) + beta
//   over:    each value alone; no statistic
//   paper:   Chen, Lu, Zhu, Sun, Liu 2025, arXiv:2512.10938
//   numeric: WGSL's own atan may be 4096 ulp off. Here: halved to |z| < tan(pi/8), then Cephes' odd polynomial, 2e-7
//   uses:    pointwise, gain
fn drive(x: f32, sigma: f32) -> f32 {
  return gain(theta[ALPHA], x) + theta[SHIFT];
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  let u = drive(x, 1.0);
  let a = abs(u);
  let far = a > 2.41421356;
  let middle = !far && a > 0.41421356;
  let z = select(select(a, (a - 1.0) / (a + 1.0), middle), -1.0 / max(a, 1.0), far);
  let turn = select(select(0.0, 0.785398163, middle), 1.57079633, far);
  let s = z * z;
  var p = fma(8.05374449538e-2, s, -1.38776856032e-1);
  p = fma(p, s, 1.99777106478e-1);
  p = fma(p, s, -3.33329491539e-1);
  return sign(u) * 0.636619772 * (turn + fma(p * s, z, z));
}

fn slope(u: f32) -> f32 {
  let held = clamp(u, -1e18, 1e18);
  return 1.0 / (1.0 + held * held);
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return 0.636619772 * slope(drive(x, 1.0)) * vec3f(theta[ALPHA], x, 1.0);
}
