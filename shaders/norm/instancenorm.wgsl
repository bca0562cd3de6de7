// instancenorm: y = gamma * (x - mean[c]) / sqrt(variance[c] + eps) + beta
//   over:    the channel over the tokens of this prompt, later ones included: not causal; biased variance
//   paper:   Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022
//   numeric: see lib/column
//   uses:    column, straight
fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return centred(x, theta[MEAN + c], theta[MEAN_LOW + c], theta[VARIANCE + c]);
}
