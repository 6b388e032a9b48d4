//! One source of randomness for dependencies of two generations.

use rand_core::CryptoRng;

/// Lends a generator of rand 0.10 to libsignal, which wants one of rand 0.9.
pub(crate) struct Rand09<'a, R: ?Sized>(pub(crate) &'a mut R);

impl<R: CryptoRng + ?Sized> rand09::RngCore for Rand09<'_, R> {
    fn next_u32(&mut self) -> u32 {
        self.0.next_u32()
    }
    fn next_u64(&mut self) -> u64 {
        self.0.next_u64()
    }
    fn fill_bytes(&mut self, bytes: &mut [u8]) {
        self.0.fill_bytes(bytes);
    }
}

impl<R: CryptoRng + ?Sized> rand09::CryptoRng for Rand09<'_, R> {}
