// w_ragged: quads of a matrix that lies in pairs, where K is no multiple of 4; zeros past the end of a row
//   over:    quads of neighbouring values
fn weight_quad(i: u32) -> vec4f {
  let pair = 2u * (i % QUADS);
  let at = (i / QUADS) * PAIRS + pair;
  var second = vec2f(0.0);
  if (pair + 1u < PAIRS) { second = weight_pair(at + 1u); }
  return vec4f(weight_pair(at), second);
}
