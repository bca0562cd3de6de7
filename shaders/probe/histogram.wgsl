// histogram: how often each drive u occurs at a site, and how densely input and core fall on the plane
//   over:    all tokens of the site; one workgroup a row
//   numeric: exact counts. u in DRIVE_BINS bins over ±DRIVE_RANGE with one bin below and one above; the plane spans
//            ±max |x| and ±max |core| of the site, read from the token statistics written just before
//   uses:    row
@compute @workgroup_size(WG)
fn forward(@builtin(workgroup_id) group: vec3u, @builtin(local_invocation_index) lane: u32) {
  let row = FROM + group.x;
  let stat = statistics(row, lane);
  var span = vec2f(0.0);
  for (var other = lane; other < run.T; other += WG) {
    let at = (site.index * ROWS + other) * FIELDS;
    span = max(span, vec2f(token_stats[at + F_ABS_MAX], token_stats[at + F_CORE_ABS_MAX]));
  }
  span = max(row_max(span, lane), vec2f(1e-30));
  let sigma = token_stats[(site.index * ROWS + row) * FIELDS + F_STD];
  let base = site.index * (DRIVE_BINS + 2u + CURVE_X * CURVE_Y);
  for (var c = lane; c < C; c += WG) {
    let v = x[row * C + c];
    if (is_finite(v)) {
      let u = clamp(drive(v, sigma) / DRIVE_RANGE, -2.0, 2.0); // beyond ±1 is outside; 2 keeps the integer small
      let bin = 1 + i32(floor((u + 1.0) * 0.5 * f32(DRIVE_BINS)));
      atomicAdd(&counts[base + u32(clamp(bin, 0, i32(DRIVE_BINS) + 1))], 1u);
      let out = core(v, c, stat);
      if (is_finite(out)) {
        let across = (v / span.x + 1.0) * 0.5 * f32(CURVE_X);
        let up = (out / span.y + 1.0) * 0.5 * f32(CURVE_Y);
        let cell = u32(clamp(up, 0.0, f32(CURVE_Y) - 1.0)) * CURVE_X + u32(clamp(across, 0.0, f32(CURVE_X) - 1.0));
        atomicAdd(&counts[base + DRIVE_BINS + 2u + cell], 1u);
      }
    }
  }
}
