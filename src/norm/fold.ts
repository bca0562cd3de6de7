// γ and β of a norm, put into the Linear after it: exact algebra.

export type Affine = { readonly gamma: Float32Array; readonly beta: Float32Array };

/**
 * (γ ⊙ t + β) Wᵀ + b = t (W diag γ)ᵀ + (W β + b): matrix [N, K] and γ, β [K] → W diag γ [N, K] and W β [N], summed
 * in float64.
 */
export function foldAffine(
  matrix: Float32Array,
  { gamma, beta }: Affine,
  N: number,
  K: number,
): { matrix: Float32Array; shift: Float32Array } {
  const shift = new Float32Array(N);
  for (let n = 0; n < N; n++) {
    let sum = 0;
    for (let k = 0; k < K; k++) sum += (matrix[n * K + k] ?? 0) * (beta[k] ?? 0);
    shift[n] = sum;
  }
  return { matrix: matrix.map((value, i) => value * (gamma[i % K] ?? 0)), shift };
}
