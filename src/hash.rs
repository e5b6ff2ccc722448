//! FNV-1a: a hash that is the same in every version and on every machine, unlike that of the standard library.

/// FNV-1a with 64 bits. It is not cryptographic.
pub(crate) struct Fnv1a(pub u64);

impl Fnv1a {
    pub(crate) fn new() -> Self {
        Self(0xcbf2_9ce4_8422_2325)
    }

    /// Add a byte, or a word as a whole.
    pub(crate) fn add(&mut self, word: impl Into<u64>) {
        self.0 = (self.0 ^ word.into()).wrapping_mul(0x0100_0000_01b3);
    }

    /// Add bytes one by one.
    pub(crate) fn add_bytes(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|&byte| self.add(byte));
    }
}

/// Return the hash of bytes.
pub(crate) fn fnv1a<'a>(bytes: impl IntoIterator<Item = &'a u8>) -> u64 {
    let mut hash = Fnv1a::new();
    bytes.into_iter().for_each(|&byte| hash.add(byte));
    hash.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_test_vectors_hold() {
        // Test vectors of Fowler, Noll and Vo.
        for (text, expected) in
            [("", 0xcbf2_9ce4_8422_2325), ("a", 0xaf63_dc4c_8601_ec8c), ("foobar", 0x8594_4171_f739_67e8)]
        {
            assert_eq!(fnv1a(text.as_bytes()), expected, "{text:?}");
        }
    }
}
