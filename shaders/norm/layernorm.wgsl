// layernorm: y = gamma * (x - mean) / sqrt(var + eps) + beta
//   over:    the C channels of a token; biased variance; eps inside the root
//   paper:   Ba, Kiros, Hinton 2016, arXiv:1607.06450
//   numeric: the mean is taken from the row's first value, so that constant rows give exactly beta; what its rounding
//            leaves is measured in the second pass and taken off again, so that mean/sigma = 1000 keeps its digits;
//            squares are divided by C before they are summed: finite up to |x| = 1e18
//   uses:    straight
fn statistics(row: u32, lane: u32) -> vec3f {
  let origin = first(row);
  var offset = Value();
  for (var i = 0u; i < CHUNKS; i++) { offset += within(chunk(row, lane, i) - origin, i * TEAM + lane) * INV_C; }
  let mean = origin + row_sum(vec2f(total(offset), 0.0), lane).x;
  var low = Value();
  var square = Value();
  for (var i = 0u; i < CHUNKS; i++) {
    let d = within(chunk(row, lane, i) - mean, i * TEAM + lane);
    low += d * INV_C;
    square += d * d * INV_C;
  }
  let second = row_sum(vec2f(total(low), total(square)), lane);
  let variance = max(second.y - second.x * second.x, 0.0);
  return vec3f(mean, second.x, inverseSqrt(variance + EPS));
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return ((x - stat.x) - stat.y) * stat.z;
}

fn partials(x: f32, c: u32, stat: vec3f) -> vec3f {
  return vec3f(stat.z, 0.0, 0.0);
}
