// batchnorm: y = gamma * (x - running_mean[c]) / sqrt(running_var[c] + eps) + beta
//   over:    the channel, with statistics from training (in a raw swap: from this prompt's tokens)
//   paper:   Ioffe, Szegedy 2015, arXiv:1502.03167
//   numeric: see lib/column
//   uses:    column, straight
fn known(c: u32) -> vec3f {
  return vec3f(theta[RUNNING_MEAN + c], theta[MEAN_LOW + c], inverseSqrt(theta[RUNNING_VAR + c] + EPS));
}
