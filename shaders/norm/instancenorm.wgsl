// instancenorm: y = gamma * (x - mean[c]) / sqrt(variance[c] + eps) + beta
//   over:    the channel over the tokens of this prompt, later ones included: not causal; biased variance
//   paper:   Ulyanov, Vedaldi, Lempitsky 2016, arXiv:1607.08022
//   numeric: see lib/column
//   uses:    column, straight
fn known(c: u32) -> vec3f {
  return vec3f(theta[MEAN + c], theta[MEAN_LOW + c], inverseSqrt(theta[VARIANCE + c] + EPS));
}
