// batchnorm: y = gamma * (x - running_mean[c]) / sqrt(running_var[c] + eps) + beta
//   over:    the channel, with statistics from training (in a raw swap: from this prompt's tokens)
//   paper:   Ioffe, Szegedy 2015, arXiv:1502.03167
//   numeric: see lib/column
//   uses:    column, straight
fn core(x: f32, c: u32, stat: vec3f) -> f32 {
  return centred(x, theta[RUNNING_MEAN + c], theta[MEAN_LOW + c], theta[RUNNING_VAR + c]);
}
