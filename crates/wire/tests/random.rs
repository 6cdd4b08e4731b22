//! Random bytes, from printed seeds: the properties in `properties` hold of them.

mod properties;
#[path = "properties/soup.rs"]
mod soup;

use fastrand::Rng;

#[test]
fn what_must_hold_of_any_bytes_holds_of_random_ones() {
    for (name, property) in properties::ALL {
        for seed in 0..20_000 {
            let bytes = soup::soup(&mut Rng::with_seed(seed));
            let held = std::panic::catch_unwind(|| property(&bytes));
            assert!(held.is_ok(), "{name}, seed {seed}: {bytes:02x?}");
        }
    }
}
