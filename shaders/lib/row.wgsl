// row: sum and maximum over the WG lanes of a workgroup, the same value in every lane
//   over:    one workgroup; both components at once. WG is the square of SPAN: SPAN lanes gather SPAN values each
//   numeric: f32 in two levels, so the error grows with SPAN and not with WG
//   cost:    three barriers, where a tree of halves needs one a level
var<workgroup> row_part: array<vec2f, WG>;

fn row_sum(value: vec2f, lane: u32) -> vec2f {
  row_part[lane] = value;
  workgroupBarrier();
  var sum = vec2f(0.0);
  if (lane < SPAN) {
    for (var i = 0u; i < SPAN; i++) { sum += row_part[lane + i * SPAN]; }
    row_part[lane] = sum;
  }
  workgroupBarrier();
  sum = vec2f(0.0);
  for (var i = 0u; i < SPAN; i++) { sum += row_part[i]; }
  workgroupBarrier(); // the next reduction writes row_part again
  return sum;
}

fn row_max(value: vec2f, lane: u32) -> vec2f {
  row_part[lane] = value;
  workgroupBarrier();
  var largest = value;
  if (lane < SPAN) {
    for (var i = 0u; i < SPAN; i++) { largest = max(largest, row_part[lane + i * SPAN]); }
    row_part[lane] = largest;
  }
  workgroupBarrier();
  largest = row_part[0];
  for (var i = 1u; i < SPAN; i++) { largest = max(largest, row_part[i]); }
  workgroupBarrier();
  return largest;
}
