//! What must hold of any bytes at all, for the fuzz targets: the properties that the seeded tests of
//! the crate `http` hold, too.

#[path = "../../crates/http/tests/properties/mod.rs"]
mod properties;
#[path = "../../crates/http/tests/properties/soup.rs"]
mod soup;

use random::Random;

/// The names of the properties.
pub fn names() -> impl Iterator<Item = &'static str> {
    properties::ALL.iter().map(|(name, _)| *name)
}

/// Tries the property of this name on some bytes.
///
/// # Panics
/// If it does not hold of them, or there is none of this name.
pub fn hold(name: &str, bytes: &[u8]) {
    let named = properties::ALL.iter().find(|(known, _)| *known == name);
    let (_, property) = named.unwrap_or_else(|| panic!("there is no property {name}"));
    property(bytes);
}

/// The bytes of this seed.
pub fn input(seed: u64) -> Vec<u8> {
    soup::soup(&mut Random::new(seed))
}
