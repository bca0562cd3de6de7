// row_team: lib/row for a workgroup that owns several rows, TEAM lanes (a team) each, all rows at once
//   over:    one team; both components at once. The kernel sets `team`; SPAN lanes gather TEAM / SPAN values each
//   numeric: f32 in two levels
//   cost:    three barriers whatever the number of rows; none where a lane has a row for itself
var<workgroup> row_part: array<vec2f, LANES>;

fn row_sum(value: vec2f, lane: u32) -> vec2f {
  if (TEAM == 1u) { return value; }
  let base = team * TEAM;
  row_part[base + lane] = value;
  workgroupBarrier();
  var sum = vec2f(0.0);
  if (lane < SPAN) {
    for (var i = lane; i < TEAM; i += SPAN) { sum += row_part[base + i]; }
    row_part[base + lane] = sum;
  }
  workgroupBarrier();
  sum = vec2f(0.0);
  for (var i = 0u; i < SPAN; i++) { sum += row_part[base + i]; }
  workgroupBarrier(); // the next reduction writes row_part again
  return sum;
}
