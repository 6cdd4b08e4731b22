//! How much memory the kernel lets an instance have.

/// What there is at least between an instance's limit and its bound.
const LEAST_ROOM: u64 = 256 * 1024 * 1024;

/// The bound of an instance with this limit (`max_memory_restart`), both in bytes.
///
/// They are far apart, for they are for different things. Who comes to the limit is replaced, and
/// loses nothing. Until that is seen a second passes, and the old process goes on serving while its
/// successor starts: what it takes meanwhile must not end it in the middle of its work. The bound
/// is for who would take the whole machine's memory in that time. Page cache counts towards it too,
/// but the kernel gives that up before it kills for the bound.
pub fn bound_of(limit: u64) -> u64 {
    limit
        .saturating_mul(2)
        .max(limit.saturating_add(LEAST_ROOM))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_bound_is_well_above_the_limit() {
        const MB: u64 = 1024 * 1024;
        let cases = [
            (MB, 257 * MB),
            (100 * MB, 356 * MB),
            (256 * MB, 512 * MB),
            (1000 * MB, 2000 * MB),
            (u64::MAX, u64::MAX),
        ];
        for (limit, bound) in cases {
            assert_eq!(bound_of(limit), bound, "{limit}");
        }
    }
}
