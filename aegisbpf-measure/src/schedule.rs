//! Which arm runs when: a seeded coin for each quad, and the same seed for both blocks of a pair.

use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};

/// One of the two things that are compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Arm {
    /// Loaded, nothing attached (A).
    Bare,
    /// The same, attached (B).
    Guarded,
}

/// The order of the arms in one quad. Both orders cancel a linear drift.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Order {
    /// Bare, guarded, guarded, bare.
    Abba,
    /// Guarded, bare, bare, guarded.
    Baab,
}

impl Order {
    /// The arms, in time.
    #[must_use]
    pub fn arms(self) -> [Arm; 4] {
        use Arm::{Bare, Guarded};
        match self {
            Self::Abba => [Bare, Guarded, Guarded, Bare],
            Self::Baab => [Guarded, Bare, Bare, Guarded],
        }
    }
}

/// Four blocks to run: the unit of analysis.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quad {
    /// Which arm comes when.
    pub order: Order,
    /// Seeds of the first pair (blocks 0 and 1) and of the second (2 and 3).
    pub seeds: [u64; 2],
}

impl Quad {
    /// Arm and seed of each block, in time.
    pub fn blocks(self) -> impl Iterator<Item = (Arm, u64)> {
        let Self { order, seeds } = self;
        (0..4).map(move |position| (order.arms()[position], seeds[position / 2]))
    }
}

/// The coin: an endless row of quads that depends on the seed alone.
///
/// The fair coin makes the quad's difference symmetric around the true effect, whatever the drift: that is what
/// the signed-rank bounds rest on.
#[derive(Debug, Clone)]
pub struct Coin(ChaCha8Rng);

impl Coin {
    /// A coin for this seed. `stream` keeps pilot and main run apart.
    #[must_use]
    pub fn new(seed: u64, stream: u64) -> Self {
        let mut rng = ChaCha8Rng::seed_from_u64(seed);
        rng.set_stream(stream);
        Self(rng)
    }

    /// A seed for a block. 53 bits, so that every JSON reader gets it exactly.
    pub fn seed(&mut self) -> u64 {
        self.0.random::<u64>() >> 11
    }
}

impl Iterator for Coin {
    type Item = Quad;

    fn next(&mut self) -> Option<Quad> {
        let order = if self.0.random::<bool>() {
            Order::Abba
        } else {
            Order::Baab
        };
        let seeds = [self.seed(), self.seed()];
        Some(Quad { order, seeds })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_gives_the_same_quads() {
        let quads = |seed, stream| Coin::new(seed, stream).take(20).collect::<Vec<_>>();
        assert_eq!(quads(7, 0), quads(7, 0));
        assert_ne!(quads(7, 0), quads(8, 0));
        assert_ne!(quads(7, 0), quads(7, 1));
    }

    #[test]
    fn the_coin_is_fair() {
        let abba = Coin::new(3, 0)
            .take(10_000)
            .filter(|quad| quad.order == Order::Abba)
            .count();
        assert!((4_800..5_200).contains(&abba), "{abba}");
    }

    #[test]
    fn a_pair_has_one_block_of_each_arm_and_one_seed() {
        for quad in Coin::new(5, 0).take(50) {
            let blocks: Vec<_> = quad.blocks().collect();
            for pair in blocks.chunks(2) {
                assert_ne!(pair[0].0, pair[1].0);
                assert_eq!(pair[0].1, pair[1].1);
            }
            assert_ne!(blocks[0].1, blocks[2].1);
        }
    }
}
