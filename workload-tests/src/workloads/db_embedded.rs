//! `db::embedded`: SQLite inside the harness, with transactions like TPC-B's that reach the disk.
//!
//! SQLite is as it comes: a rollback journal, made and removed by each transaction, and `synchronous=FULL`. So each
//! transaction opens files (the journal, and its directory to sync it), which is what an enforcer sees of it.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use rand_chacha::ChaCha8Rng;
use rusqlite::{Connection, OptionalExtension, Transaction, params};

use crate::{
    load::{Client, Clients, Worker},
    workload::{Prepared, Requirement, Workload},
    workloads::bank::{self, Transfer, UNBALANCED},
};

const BRANCHES: i32 = 1;
/// Operations of one connection: a program that works for a while and ends.
const LIFETIME: u64 = 100;

const SCHEMA: &str = "
    CREATE TABLE branches (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL, filler TEXT);
    CREATE TABLE tellers (id INTEGER PRIMARY KEY, branch INTEGER NOT NULL, balance INTEGER NOT NULL, filler TEXT);
    CREATE TABLE accounts (id INTEGER PRIMARY KEY, branch INTEGER NOT NULL, balance INTEGER NOT NULL, filler TEXT);
    CREATE TABLE history (teller INTEGER, branch INTEGER, account INTEGER, delta INTEGER, time TEXT, filler TEXT);";

/// The workload. One operation is a transaction on disk.
#[derive(Debug, Clone, Copy)]
pub struct Embedded;

impl Workload for Embedded {
    fn name(&self) -> &'static str {
        "db::embedded"
    }

    fn configuration(&self) -> String {
        format!(
            "SQLite {}, {BRANCHES} branch of {} accounts, rollback journal, synchronous FULL, {LIFETIME} transactions a connection",
            rusqlite::version(),
            bank::ACCOUNTS
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let path = scratch.join("bank.db");
        let mut connection = open(&path)?;
        let transaction = connection.transaction()?;
        fill(&transaction)?;
        transaction.commit()?;
        let teller = Teller {
            path: path.clone(),
            connection: Some(connection),
        };
        let session = SqliteSession {
            clients: Clients::new(vec![teller], Worker::Client, LIFETIME),
            path: path.clone(),
        };
        Ok(Prepared::new(session, vec![path]))
    }
}

fn open(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(Duration::from_secs(5))?;
    Ok(connection)
}

fn fill(transaction: &Transaction<'_>) -> rusqlite::Result<()> {
    transaction.execute_batch(SCHEMA)?;
    let filler = " ".repeat(80);
    for id in 1..=BRANCHES {
        transaction.execute(
            "INSERT INTO branches VALUES (?1, 0, ?2)",
            params![id, filler],
        )?;
    }
    for id in 1..=BRANCHES * bank::TELLERS {
        let branch = (id - 1) / bank::TELLERS + 1;
        transaction.execute(
            "INSERT INTO tellers VALUES (?1, ?2, 0, ?3)",
            params![id, branch, filler],
        )?;
    }
    let mut account = transaction.prepare("INSERT INTO accounts VALUES (?1, ?2, 0, ?3)")?;
    for id in 1..=BRANCHES * bank::ACCOUNTS {
        account.execute(params![id, (id - 1) / bank::ACCOUNTS + 1, filler])?;
    }
    Ok(())
}

struct Teller {
    path: PathBuf,
    connection: Option<Connection>,
}

impl Teller {
    fn transfer(&mut self, transfer: Transfer) -> rusqlite::Result<bool> {
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(open(&self.path)?),
        };
        let Transfer {
            account,
            teller,
            branch,
            delta,
        } = transfer;
        let transaction = connection.transaction()?;
        let change = |sql: &str, id: i32| transaction.prepare_cached(sql)?.execute((delta, id));
        change(
            "UPDATE accounts SET balance = balance + ?1 WHERE id = ?2",
            account,
        )?;
        let balance: Option<i64> = transaction
            .prepare_cached("SELECT balance FROM accounts WHERE id = ?1")?
            .query_row([account], |row| row.get(0))
            .optional()?;
        change(
            "UPDATE tellers SET balance = balance + ?1 WHERE id = ?2",
            teller,
        )?;
        change(
            "UPDATE branches SET balance = balance + ?1 WHERE id = ?2",
            branch,
        )?;
        transaction
            .prepare_cached("INSERT INTO history VALUES (?1, ?2, ?3, ?4, CURRENT_TIMESTAMP, NULL)")?
            .execute((teller, branch, account, delta))?;
        transaction.commit()?;
        Ok(balance.is_some())
    }
}

impl Client for Teller {
    fn operate(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        bank::outcome(self.transfer(Transfer::draw(rng, BRANCHES)), class)
    }

    fn reconnect(&mut self) -> Result<(), String> {
        self.connection = None;
        self.connection = Some(open(&self.path).map_err(|error| class(&error))?);
        Ok(())
    }
}

/// SQLite's own word for the error, without the statement.
fn class(error: &rusqlite::Error) -> String {
    error.sqlite_error().map_or_else(
        || error.to_string(),
        |error| format!("SQLite {:?} ({})", error.code, error.extended_code),
    )
}

struct SqliteSession {
    clients: Clients<Teller>,
    path: PathBuf,
}

impl SqliteSession {
    /// Whether the sums agree.
    fn is_balanced(&self) -> rusqlite::Result<bool> {
        let connection = open(&self.path)?;
        let sums = connection.query_row(
            "SELECT (SELECT SUM(balance) FROM accounts), (SELECT SUM(balance) FROM tellers),
                (SELECT SUM(balance) FROM branches), (SELECT COALESCE(SUM(delta), 0) FROM history)",
            [],
            |row| Ok([row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?]),
        )?;
        Ok(bank::is_balanced(sums))
    }
}

impl Session for SqliteSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        let mut sample = self.clients.run(block, &mut || Ok(Duration::ZERO))?;
        if !self.is_balanced()? {
            *sample.errors.entry(UNBALANCED.to_owned()).or_default() += 1;
        }
        Ok(sample)
    }

    fn opens_per_operation(&self) -> f64 {
        1.0
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.clients.hold_up(delay);
        true
    }
}

#[cfg(test)]
mod tests {
    use rand::SeedableRng;

    use super::*;
    use crate::workloads::bank::LOST;

    #[test]
    fn money_that_comes_from_nowhere_is_noticed() {
        let scratch = tempfile::tempdir().unwrap();
        Embedded.prepare(scratch.path()).unwrap();
        let path = scratch.path().join("bank.db");
        let mut teller = Teller {
            path: path.clone(),
            connection: None,
        };
        teller.operate(&mut ChaCha8Rng::seed_from_u64(1)).unwrap();
        let session = SqliteSession {
            clients: Clients::new(vec![teller], Worker::Client, LIFETIME),
            path: path.clone(),
        };
        assert!(session.is_balanced().unwrap());
        open(&path)
            .unwrap()
            .execute("UPDATE tellers SET balance = balance + 1 WHERE id = 1", [])
            .unwrap();
        assert!(!session.is_balanced().unwrap());
    }

    #[test]
    fn an_account_that_is_gone_and_a_table_that_is_gone_are_different_errors() {
        let scratch = tempfile::tempdir().unwrap();
        Embedded.prepare(scratch.path()).unwrap();
        let path = scratch.path().join("bank.db");
        let mut teller = Teller {
            path: path.clone(),
            connection: None,
        };
        let mut operate = || {
            teller
                .operate(&mut ChaCha8Rng::seed_from_u64(1))
                .unwrap_err()
        };
        let connection = open(&path).unwrap();
        connection.execute("DELETE FROM accounts", []).unwrap();
        assert_eq!(operate(), LOST);
        connection.execute("DROP TABLE history", []).unwrap();
        assert!(operate().starts_with("SQLite "), "{}", operate());
    }
}
