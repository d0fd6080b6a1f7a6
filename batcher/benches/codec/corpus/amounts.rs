//! How much people move.

use alloy::primitives::U256;
use rand::Rng;
use rand_chacha::ChaCha12Rng;

/// Standard normal, near enough: the sum of twelve uniform numbers.
fn normal(rng: &mut ChaCha12Rng) -> f64 {
    (0..12).map(|_| rng.r#gen::<f64>()).sum::<f64>() - 6.0
}

/// Whole units, log-normal around `median`.
fn size(median: f64, rng: &mut ChaCha12Rng) -> f64 {
    median * (1.6 * normal(rng)).exp()
}

fn ten_to(exponent: u32) -> U256 {
    U256::from(10).pow(U256::from(exponent))
}

/// Of a token with so many decimals, as computed: every digit counts.
pub(super) fn precise(median: f64, decimals: u32, rng: &mut ChaCha12Rng) -> U256 {
    // A float has 53 bits: the digits below are drawn apart.
    let micro = (size(median, rng) * 1e6).clamp(1.0, 1e18) as u64;
    let below = ten_to(decimals.saturating_sub(6));
    let digits = U256::from(rng.r#gen::<u128>()) % below;
    U256::from(micro) * below + digits
}

/// One to three digits and zeros.
pub(super) fn round(median: f64, decimals: u32, rng: &mut ChaCha12Rng) -> U256 {
    let size = size(median, rng).max(1e-6);
    let digits = 10_f64.powi(*[0, 0, 0, 1, 1, 2].get(rng.gen_range(0..6)).expect("six"));
    let unit = 10_f64.powf(size.log10().floor()) / digits;
    let thousandths = ((size / unit).floor() * unit * 1e6).round().max(1.0) as u64;
    U256::from(thousandths) * ten_to(decimals) / U256::from(1_000_000)
}

/// What somebody types or a program computes.
pub(super) fn any(median: f64, decimals: u32, rng: &mut ChaCha12Rng) -> U256 {
    match rng.gen_range(0..100) {
        0..45 => round(median, decimals, rng),
        45..60 => {
            let places = if decimals == 18 { 9 } else { 2 };
            let unit = ten_to(decimals - places);
            precise(median, decimals, rng) / unit * unit
        }
        _ => precise(median, decimals, rng),
    }
}
