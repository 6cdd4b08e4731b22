//! What must hold of any bytes at all, for the fuzz targets: the properties that the seeded tests of
//! the crates `framing`, `http` and `wire` hold, too, and those of maitred's own control socket and config files.

#[path = "../../crates/framing/tests/properties/mod.rs"]
mod framing_properties;
#[path = "../../crates/http1/tests/properties/mod.rs"]
mod http_properties;
#[path = "../../crates/http1/tests/properties/soup.rs"]
mod http_soup;
#[path = "../../crates/wire/tests/properties/mod.rs"]
mod wire_properties;
#[path = "../../crates/wire/tests/properties/soup.rs"]
mod wire_soup;

mod text_soup;

use fastrand::Rng;

type Property = fn(&[u8]);

/// What reads text that users and command lines write.
const TEXTS: [(&str, Property); 2] = [
    ("control_lines", maitred::untrusted::control_line),
    ("config_files", maitred::untrusted::config_file),
];

/// All properties by name, each with where its random bytes come from.
fn all() -> impl Iterator<Item = (&'static str, Property, fn(&mut Rng) -> Vec<u8>)> {
    let http = http_properties::ALL.iter().map(|(name, property)| {
        let soup: fn(&mut Rng) -> Vec<u8> = http_soup::soup;
        (*name, *property, soup)
    });
    let wire = wire_properties::ALL.iter().map(|(name, property)| {
        let soup: fn(&mut Rng) -> Vec<u8> = wire_soup::soup;
        (*name, *property, soup)
    });
    let texts = TEXTS.iter().map(|(name, property)| {
        let soup: fn(&mut Rng) -> Vec<u8> = text_soup::soup;
        (*name, *property, soup)
    });
    let followed = framing_properties::ALL.iter().map(|(name, property)| {
        let soup: fn(&mut Rng) -> Vec<u8> = http_soup::soup;
        (*name, *property, soup)
    });
    http.chain(followed).chain(wire).chain(texts)
}

/// The names of the properties.
pub fn names() -> impl Iterator<Item = &'static str> {
    all().map(|(name, ..)| name)
}

/// Tries the property of this name on some bytes.
///
/// # Panics
/// If it does not hold of them, or there is none of this name.
pub fn hold(name: &str, bytes: &[u8]) {
    let named = all().find(|(known, ..)| *known == name);
    let (_, property, _) = named.unwrap_or_else(|| panic!("there is no property {name}"));
    property(bytes);
}

/// The bytes of this seed for the property of this name.
pub fn input(name: &str, seed: u64) -> Vec<u8> {
    let named = all().find(|(known, ..)| *known == name);
    let (.., soup) = named.unwrap_or_else(|| panic!("there is no property {name}"));
    soup(&mut Rng::with_seed(seed))
}
