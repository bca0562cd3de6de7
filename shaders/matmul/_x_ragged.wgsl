// x_ragged: x four values at a time where K is no multiple of 4; zeros past the end of a row
//   over:    quads of neighbouring values
fn x_quad(t: u32, q: u32) -> vec4f {
  let k = 4u * q;
  let i = t * K + k;
  var v = vec4f(x[i], 0.0, 0.0, 0.0);
  if (k + 1u < K) { v.y = x[i + 1u]; }
  if (k + 2u < K) { v.z = x[i + 2u]; }
  if (k + 3u < K) { v.w = x[i + 3u]; }
  return v;
}
