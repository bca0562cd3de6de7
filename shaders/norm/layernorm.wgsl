// layernorm: y = gamma * (x - mean) / sqrt(var + eps) + beta
//   over:    the C channels of a token; biased variance; eps inside the root
//   paper:   Ba, Kiros, Hinton 2016, arXiv:1607.06450
//   numeric: the mean is taken from the row's first value, so that constant rows give exactly beta; what its rounding
//            leaves is measured in the second pass and taken off again, so that mean/sigma = 1000 keeps its digits;
//            squares are divided by C before they are summed: finite up to |x| = 1e18
//   uses:    row, straight
fn statistics(row: u32, lane: u32) -> vec3f {
  let origin = x[row * C];
  var offset = 0.0;
  for (var c = lane; c < C; c += WG) { offset += (x[row * C + c] - origin) * INV_C; }
  let mean = origin + row_sum(vec2f(offset, 0.0), lane).x;
  var moment = vec2f(0.0);
  for (var c = lane; c < C; c += WG) {
    let d = x[row * C + c] - mean;
    moment += vec2f(d * INV_C, d * d * INV_C);
  }
  let second = row_sum(moment, lane);
  let variance = max(second.y - second.x * second.x, 0.0);
  return vec3f(mean, second.x, inverseSqrt(variance + EPS));
}

fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return ((x - stat.x) - stat.y) * stat.z;
}
