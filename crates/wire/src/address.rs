//! A socket address as the kernel writes it, of any family a listener can have.

/// Longest address: `sockaddr_un` has 110 bytes.
const MAX: usize = 110;

/// A `sockaddr` of up to 110 bytes, or none (length 0).
#[derive(Clone, Copy)]
pub struct Address {
    len: u8,
    bytes: [u8; MAX],
}

impl Address {
    /// No address.
    pub const NONE: Self = Self {
        len: 0,
        bytes: [0; MAX],
    };

    /// Bytes that an address takes in a message.
    pub(crate) const ENCODED: usize = 1 + MAX;

    /// Takes the bytes of a `sockaddr`; `None` if they are more than a `sockaddr_un` has.
    pub fn new(sockaddr: &[u8]) -> Option<Self> {
        let mut address = Self::NONE;
        if sockaddr.len() > MAX {
            return None;
        }
        address.len = sockaddr.len() as u8;
        for (to, from) in address.bytes.iter_mut().zip(sockaddr) {
            *to = *from;
        }
        Some(address)
    }

    /// The bytes of the `sockaddr`.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.get(..usize::from(self.len)).unwrap_or(&[])
    }

    /// Whether there is an address at all.
    pub fn is_none(&self) -> bool {
        self.len == 0
    }

    pub(crate) fn encode(&self, to: &mut [u8]) {
        if let Some((len, bytes)) = to.split_first_mut() {
            *len = self.len;
            for (to, from) in bytes.iter_mut().zip(&self.bytes) {
                *to = *from;
            }
        }
    }

    pub(crate) fn decode(from: &[u8]) -> Option<Self> {
        let (len, bytes) = from.split_first()?;
        Self::new(bytes.get(..usize::from(*len))?)
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl Eq for Address {}

impl core::fmt::Debug for Address {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "{:02x?}", self.as_bytes())
    }
}
