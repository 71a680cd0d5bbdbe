//! The power of e, without a branch: the compiler makes vectors of it.

/// e to the x, to 1 unit in the last place or a little more; 0 and infinity where it leaves the numbers there are, and
/// what is not a number stays so.
#[inline(always)]
pub(super) fn exp(x: f32) -> f32 {
    let (power, rest) = parts(x);
    let [half, other] = halves(power);
    (1.0 + less_one(rest)) * half * other
}

/// e to the x less 1, for x from 0 up: as exact near 0 as elsewhere.
#[inline(always)]
pub(super) fn exp_less_one(x: f32) -> f32 {
    let (power, rest) = parts(x);
    let [half, other] = halves(power);
    less_one(rest) * half * other + (half * other - 1.0)
}

/// x as a whole number of logarithms of 2 and a rest within half of one. Numbers whose power is 0 or infinite are cut off.
#[inline(always)]
fn parts(x: f32) -> (i32, f32) {
    // A sum with this number has no digits behind the point, and its lowest bits are the whole number.
    const ROUNDER: f32 = 12_582_912.0;
    // The logarithm of 2 in two parts, the first with so few digits that its small multiples are exact.
    const HIGH: f32 = 355.0 / 512.0;
    const LOW: f32 = (std::f64::consts::LN_2 - 355.0 / 512.0) as f32;
    let x = if x > 89.0 { 89.0 } else { x };
    let x = if x < -105.0 { -105.0 } else { x };
    let rounded = x * std::f32::consts::LOG2_E + ROUNDER;
    let whole = rounded - ROUNDER;
    (rounded.to_bits() as i32 - ROUNDER.to_bits() as i32, (x - whole * HIGH) - whole * LOW)
}

/// 2 to the power, as two factors: either is a number where their product may be none, or less than a normal one.
#[inline(always)]
fn halves(power: i32) -> [f32; 2] {
    let half = power >> 1;
    [half, power.wrapping_sub(half)].map(|power| f32::from_bits((power.wrapping_add(127) as u32) << 23))
}

/// The power less 1 within half a logarithm of 2: its series, whose first term left out is below 2^-27 of the sum.
#[inline(always)]
fn less_one(x: f32) -> f32 {
    let series = 1.0 / 5040.0;
    let series = series * x + 1.0 / 720.0;
    let series = series * x + 1.0 / 120.0;
    let series = series * x + 1.0 / 24.0;
    let series = series * x + 1.0 / 6.0;
    let series = series * x + 0.5;
    series * (x * x) + x
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_systems_to_three_units_in_the_last_place() {
        for at in -1_050_000..890_000 {
            let x = at as f32 * 1e-4;
            let (found, expected) = (exp(x), f64::from(x).exp());
            let unit = f64::from((expected as f32).max(f32::MIN_POSITIVE)) * f64::from(f32::EPSILON);
            let infinite = found.is_infinite() && expected > f64::from(f32::MAX) * 0.999;
            assert!((f64::from(found) - expected).abs() <= 3.0 * unit || infinite, "{x}: {found} {expected}");
        }
        assert_eq!(
            [0.0, f32::NEG_INFINITY, -1e30, f32::INFINITY, 1e30].map(exp),
            [1.0, 0.0, 0.0, f32::INFINITY, f32::INFINITY]
        );
        assert!(exp(f32::NAN).is_nan());
    }

    #[test]
    fn less_one_it_is_exact_near_0() {
        for at in 0..200_000 {
            let x = (at as f32 * 1e-4).powi(2) * 0.1;
            let (found, expected) = (f64::from(exp_less_one(x)), f64::from(x).exp_m1());
            assert!((found - expected).abs() <= 3.0 * f64::from(f32::EPSILON) * expected, "{x}: {found} {expected}");
        }
        assert!(exp_less_one(f32::NAN).is_nan());
    }
}
