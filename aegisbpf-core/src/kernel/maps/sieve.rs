//! The bits that are asked where the filter says "perhaps". User space alone writes them: before a change of policy what
//! both policies need, after it what the new one needs.

use aegisbpf_bpf::{abi, names};
use aya::maps::{Array, IterableMap, MapData};

use super::{Source, failed};
use crate::error::Result;

/// Bits for each rule that there is room for: with all of them there, no more than one place in 48 is taken.
const BITS_PER_RULE: u32 = 48;

type Row = [u64; abi::SIEVE_ROW_BITS / 64];

/// How many rows there are where `rules` rules have room.
pub(in crate::kernel) fn rows(rules: u32) -> u32 {
    let bits = u64::from(rules) * u64::from(BITS_PER_RULE);
    let rows = bits.div_ceil(abi::SIEVE_ROW_BITS as u64).max(1);
    u32::try_from(rows.next_power_of_two()).unwrap_or(1 << 31)
}

/// See the module.
pub(super) struct Sieve {
    map: Array<MapData, Row>,
    rows: u32,
}

/// What stands in it, or shall.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Bits(Vec<Row>);

impl Bits {
    /// The bits of these inode numbers, in so many rows.
    fn of(inos: impl Iterator<Item = u64>, rows: u32) -> Self {
        let mut bits = vec![Row::default(); rows as usize];
        for ino in inos {
            let place = (ino.wrapping_mul(abi::SIEVE_FACTOR) >> 32) as usize;
            let row = &mut bits[place / abi::SIEVE_ROW_BITS % rows as usize];
            row[place / 64 % row.len()] |= 1 << (place % 64);
        }
        Self(bits)
    }

    /// The bits of both.
    pub(super) fn with(&self, other: &Self) -> Self {
        let both = |(a, b): (&Row, &Row)| std::array::from_fn(|word| a[word] | b[word]);
        Self(self.0.iter().zip(&other.0).map(both).collect())
    }
}

impl Sieve {
    pub(super) fn take(source: &mut Source<'_>) -> Result<Self> {
        let map: Array<_, _> = source.take(names::SIEVE)?;
        let rows = map.len();
        Ok(Self { map, rows })
    }

    /// The bits of these inode numbers, as many as there are here.
    pub(super) fn bits(&self, inos: impl Iterator<Item = u64>) -> Bits {
        Bits::of(inos, self.rows)
    }

    /// Writes `wanted` where it differs from `held`, which is what stands there.
    ///
    /// # Errors
    /// If the kernel refuses; then some rows are written.
    pub(super) fn change(&mut self, held: &Bits, wanted: &Bits) -> Result<()> {
        let rows = held.0.iter().zip(&wanted.0).zip(0..);
        rows.filter(|((held, wanted), _)| held != wanted)
            .try_for_each(|((_, wanted), index)| self.map.set(index, wanted, 0))
            .map_err(failed("writing the sieve"))
    }

    /// Writes `wanted`, whatever stands there.
    ///
    /// # Errors
    /// If the kernel refuses; then some rows are written.
    pub(super) fn become_exactly(&mut self, wanted: &Bits) -> Result<()> {
        let held = (0..self.rows)
            .map(|index| self.map.get(&index, 0))
            .collect::<Result<_, _>>()
            .map_err(failed("reading the sieve"))?;
        self.change(&Bits(held), wanted)
    }

    pub(super) fn map(&self) -> &MapData {
        IterableMap::map(&self.map)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_size_is_a_power_of_two_and_follows_the_rules() {
        assert_eq!(rows(0), 1);
        assert_eq!(rows(10), 1);
        assert_eq!(rows(11), 2);
        assert_eq!(rows(8_192), 1 << 10);
        assert_eq!(rows(1_000_000), 1 << 17);
        assert!(rows(u32::MAX).is_power_of_two());
    }

    #[test]
    fn the_bits_of_two_policies_are_those_of_each() {
        let one = Bits::of([7, 1 << 40].into_iter(), 4);
        let other = Bits::of([8, 1 << 41].into_iter(), 4);
        let both = Bits::of([7, 8, 1 << 40, 1 << 41].into_iter(), 4);
        assert_eq!(one.with(&other), both);
        assert_ne!(one, both);
    }

    #[test]
    fn numbers_that_the_filter_cannot_tell_apart_are_spread() {
        let alike = (0..10_000).map(|n| n * abi::FILTER_SLOTS as u64 + 4_242);
        let bits = Bits::of(alike, rows(10_000));
        let set: u32 = bits.0.iter().flatten().map(|word| word.count_ones()).sum();
        assert!(set > 9_500, "{set} of 10,000 have a bit of their own");
    }
}
