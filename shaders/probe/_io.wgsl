// What the probes write, beside the norm family's own bindings: a probe is compiled together with the member it
// watches and calls its core, drive and slope, so a new member needs no probe of its own.
// The host adds: FIELDS values a token with their offsets (F_MEAN, …), ROWS rows a site, the row FROM which it goes.
@group(1) @binding(0) var<storage, read_write> token_stats: array<f32>;      // [sites, ROWS, FIELDS]
@group(1) @binding(1) var<storage, read_write> counts: array<atomic<u32>>;   // [sites, DRIVE_BINS + 2 + CURVE_X * CURVE_Y]
@group(1) @binding(2) var<uniform> site: Site;

struct Site {
  index: u32, // which site of the model this is
}

fn is_finite(v: f32) -> bool {
  return (bitcast<u32>(v) & 0x7f800000u) != 0x7f800000u; // a comparison with itself may be optimised away
}
