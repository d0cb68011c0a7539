//! Gauss–Legendre rules on panels short enough for full precision.

/// Nodes and weights on [−1, 1].
type Rule = &'static [(f64, f64)];

const THREE: Rule = &[
    (-0.774_596_669_241_483_4, 0.555_555_555_555_555_6),
    (0.0, 0.888_888_888_888_889),
    (0.774_596_669_241_483_4, 0.555_555_555_555_555_6),
];
const SIX: Rule = &[
    (-0.932_469_514_203_152, 0.171_324_492_379_170_35),
    (-0.661_209_386_466_264_5, 0.360_761_573_048_138_6),
    (-0.238_619_186_083_196_9, 0.467_913_934_572_691_04),
    (0.238_619_186_083_196_9, 0.467_913_934_572_691_04),
    (0.661_209_386_466_264_5, 0.360_761_573_048_138_6),
    (0.932_469_514_203_152, 0.171_324_492_379_170_35),
];

/// Calls `at(node, weight)` for [from, to], which is at most `scale` long: functions that vary on the scale of 4·`scale` are integrated to
/// about 1e-12 of themselves.
pub fn panel(from: f64, to: f64, scale: f64, mut at: impl FnMut(f64, f64)) {
    let (middle, half) = (0.5 * (from + to), 0.5 * (to - from));
    let rule = match scale / (to - from) {
        narrow if narrow > 64.0 => THREE,
        _ => SIX,
    };
    for (node, weight) in rule {
        at(middle + half * node, half * weight);
    }
}
