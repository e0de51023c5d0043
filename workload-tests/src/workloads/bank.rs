//! The bank of TPC-B, as pgbench has it: what the databases SQLite and PostgreSQL are asked to do.

use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// Accounts of a branch.
pub(crate) const ACCOUNTS: i32 = 100_000;
/// Tellers of a branch.
pub(crate) const TELLERS: i32 = 10;

/// One transaction: money in or out at a teller.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Transfer {
    pub(crate) account: i32,
    pub(crate) teller: i32,
    pub(crate) branch: i32,
    pub(crate) delta: i32,
}

impl Transfer {
    /// A random one in a bank of so many branches.
    pub(crate) fn draw(rng: &mut ChaCha8Rng, branches: i32) -> Self {
        Self {
            account: rng.random_range(1..=ACCOUNTS * branches),
            teller: rng.random_range(1..=TELLERS * branches),
            branch: rng.random_range(1..=branches),
            delta: rng.random_range(-5_000..=5_000),
        }
    }
}

/// The class of an account whose balance was not there to be read.
pub(crate) const LOST: &str = "lost account";
/// The class of a bank whose sums differ: a transaction was done in part.
pub(crate) const UNBALANCED: &str = "books do not balance";

/// What an application sees of a transfer: whether the account's balance was there, or the error by its class.
pub(crate) fn outcome<E>(
    transfer: Result<bool, E>,
    class: impl FnOnce(&E) -> String,
) -> Result<(), String> {
    match transfer {
        Ok(true) => Ok(()),
        Ok(false) => Err(LOST.to_owned()),
        Err(error) => Err(class(&error)),
    }
}

/// The sums that every whole transaction keeps equal: accounts, tellers, branches, history.
pub(crate) fn is_balanced(sums: [i64; 4]) -> bool {
    sums.iter().all(|sum| *sum == sums[0])
}
