// rmsnorm: y = gamma * x / sqrt(mean(x^2) + eps) + beta
//   over:    the C channels of a token; eps inside the root
//   paper:   Zhang, Sennrich 2019, arXiv:1910.07467
//   numeric: squares are divided by C before they are summed: finite up to |x| = 1e18
//   uses:    straight
fn statistics(row: u32, lane: u32) -> vec3f {
  var square = Value();
  for (var i = 0u; i < CHUNKS; i++) {
    let v = within(chunk(row, lane, i), i * TEAM + lane);
    square += v * v * INV_C;
  }
  return vec3f(inverseSqrt(row_sum(vec2f(total(square), 0.0), lane).x + EPS));
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return x * stat.x;
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return vec3f(stat.x, 0.0, 0.0);
}
