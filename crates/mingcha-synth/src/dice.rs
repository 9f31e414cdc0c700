//! Chance that can be repeated: ChaCha8 with one stream per purpose and index. The arithmetic is written
//! here, because the distributions of a library may change with its version and a seed must not.

use rand_chacha::ChaCha8Rng;
use rand_chacha::rand_core::{Rng, SeedableRng};

/// What a stream of chance is for; streams never share numbers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Purpose {
    /// Who lives in a household.
    Household = 1,
    /// What happens to the people of a household.
    Life = 2,
    /// A planted case.
    Case = 3,
}

/// A seeded source of chance.
pub(crate) struct Dice(ChaCha8Rng);

impl Dice {
    pub(crate) fn new(seed: u64, purpose: Purpose, index: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(((purpose as u64) << 56) | index);
        Self(rng)
    }

    /// A whole number from 0 to `n` - 1; 0 for `n` = 0.
    pub(crate) fn below(&mut self, n: u64) -> u64 {
        // The high half of the product is as even as 64 bits allow, on every machine alike.
        ((u128::from(self.0.next_u64()) * u128::from(n)) >> 64) as u64
    }

    /// A whole number from `low` to `high`, both included.
    pub(crate) fn between(&mut self, low: i64, high: i64) -> i64 {
        low + self.below((high - low + 1).max(1).cast_unsigned()).cast_signed()
    }

    /// True in so many cases of a million.
    pub(crate) fn ppm(&mut self, millionths: u64) -> bool {
        self.below(1_000_000) < millionths
    }

    /// True in so many cases of a hundred.
    pub(crate) fn percent(&mut self, hundredths: u64) -> bool {
        self.below(100) < hundredths
    }

    pub(crate) fn pick<'a, T>(&mut self, of: &'a [T]) -> &'a T {
        &of[self.below(of.len() as u64) as usize]
    }

    /// An index, by weights that need not sum to anything.
    pub(crate) fn weighted(&mut self, weights: &[u32]) -> usize {
        let total: u64 = weights.iter().map(|w| u64::from(*w)).sum();
        let mut rest = self.below(total);
        for (i, weight) in weights.iter().enumerate() {
            if rest < u64::from(*weight) {
                return i;
            }
            rest -= u64::from(*weight);
        }
        0
    }

    /// How many events happen, if so many thousandths are expected (near enough Poisson: 16 coins,
    /// in whole numbers, so that every machine counts alike).
    pub(crate) fn events(&mut self, thousandths: u64) -> u32 {
        let mut count = 0;
        for _ in 0..16 {
            count += u32::from(self.below(16_000) < thousandths);
        }
        count
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_stream_repeats_and_another_does_not() {
        let draw = |purpose, index| {
            let mut dice = Dice::new(7, purpose, index);
            (0..8).map(|_| dice.below(1000)).collect::<Vec<_>>()
        };
        assert_eq!(draw(Purpose::Life, 1), draw(Purpose::Life, 1));
        assert_ne!(draw(Purpose::Life, 1), draw(Purpose::Life, 2));
        assert_ne!(draw(Purpose::Life, 1), draw(Purpose::Household, 1));
    }

    #[test]
    fn weights_and_events_keep_their_shares() {
        let mut dice = Dice::new(1, Purpose::Case, 0);
        let hits = (0..10_000).filter(|_| dice.weighted(&[1, 3]) == 1).count();
        assert!((7_300..7_700).contains(&hits), "{hits}");
        let events: u32 = (0..10_000).map(|_| dice.events(1_500)).sum();
        assert!((14_500..15_500).contains(&events), "{events}");
    }
}
