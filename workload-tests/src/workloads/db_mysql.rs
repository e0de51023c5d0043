//! `db::mysql`: the real MariaDB, in a private directory, reached by a socket in it alone.
//!
//! A transaction is that of sysbench's `oltp_read_write`: ten point selects, four ranges of a hundred rows, two
//! updates, a delete and an insert.

use std::{
    fs, io,
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use mysql::{Conn, OptsBuilder, Statement, TxOpts, prelude::Queryable};
use nix::{
    sys::signal::Signal,
    unistd::{User, chown},
};
use rand::{RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

use crate::{
    load::{Client, Clients, Worker},
    service::{Meter, Service},
    workload::{Prepared, Requirement, Workload, find_program, version},
    workloads::program,
};

const MARIADB: Requirement = Requirement::Program {
    name: "mariadbd",
    package: "mariadb-server",
};
const INSTALL: Requirement = Requirement::Program {
    name: "mariadb-install-db",
    package: "mariadb-server",
};
/// The user that the package makes; the server changes to it by itself.
const USER: &str = "mysql";
const SEED: u64 = 0x6d79_7371_6c00_0001;
const ROWS: u32 = 100_000;
const RANGE: u32 = 100;
const CLIENTS: usize = 4;
/// Transactions of one connection.
const LIFETIME: u64 = 50;
/// A transaction that lost against another one is done again, as applications do, so often.
const RETRIES: u32 = 10;
/// SQLSTATE of a transaction that lost.
const LOST_AGAINST_ANOTHER: &str = "SQLSTATE 40001";
/// The class of a range or row that is not whole.
const WRONG_ROWS: &str = "wrong number of rows";

const SETTINGS: [&str; 7] = [
    "--skip-networking",
    "--innodb-buffer-pool-size=256M",
    "--innodb-log-file-size=256M",
    "--innodb-flush-log-at-trx-commit=1",
    "--max-connections=50",
    "--skip-name-resolve",
    "--performance-schema=OFF",
];

const STATEMENTS: [&str; 9] = [
    "SELECT c FROM sbtest1 WHERE id = ?",
    "SELECT c FROM sbtest1 WHERE id BETWEEN ? AND ?",
    "SELECT SUM(k) FROM sbtest1 WHERE id BETWEEN ? AND ?",
    "SELECT c FROM sbtest1 WHERE id BETWEEN ? AND ? ORDER BY c",
    "SELECT DISTINCT c FROM sbtest1 WHERE id BETWEEN ? AND ? ORDER BY c",
    "UPDATE sbtest1 SET k = k + 1 WHERE id = ?",
    "UPDATE sbtest1 SET c = ? WHERE id = ?",
    "DELETE FROM sbtest1 WHERE id = ?",
    "INSERT INTO sbtest1 (id, k, c, pad) VALUES (?, ?, ?, ?)",
];

/// The workload. One operation is a committed transaction of eighteen statements.
#[derive(Debug, Clone, Copy)]
pub struct Mysql;

impl Workload for Mysql {
    fn name(&self) -> &'static str {
        "db::mysql"
    }

    fn configuration(&self) -> String {
        format!(
            "{ROWS} rows, data seed {SEED}, {CLIENTS} clients, {LIFETIME} transactions a connection, {SETTINGS:?}, {}",
            version(find_program("mariadbd"), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[MARIADB, INSTALL, Requirement::Cgroup]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let session = MysqlSession::prepare(scratch)?;
        Ok(Prepared::new(session, vec![option_file(scratch)]))
    }
}

struct MysqlSession {
    clients: Clients<Oltp>,
    /// A connection for what happens between blocks.
    desk: Conn,
    meter: Meter,
    server: Service,
}

impl MysqlSession {
    fn prepare(scratch: &Path) -> Result<Self, BoxError> {
        let user = User::from_name(USER)?
            .ok_or_else(|| format!("the user {USER} is not there: {INSTALL}"))?;
        let (data, socket) = (scratch.join("data"), scratch.join("socket"));
        for directory in [&data, &socket] {
            fs::create_dir(directory)?;
            chown(directory, Some(user.uid), Some(user.gid))?;
        }
        initialise(&data)?;
        let socket = socket.join("mysqld.sock");
        let server = start(scratch, &data, &socket)?;
        let mut desk = Conn::new(options(&socket, None))?;
        fill(&mut desk)?;
        let credentials = option_file(scratch);
        fs::write(
            &credentials,
            format!("[client]\nsocket={}\n", socket.display()),
        )?;
        let clients = (0..CLIENTS)
            .map(|_| Oltp::connect(&credentials))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            clients: Clients::new(clients, Worker::Server, LIFETIME),
            desk,
            meter: server.meter()?,
            server,
        })
    }
}

impl Session for MysqlSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        self.server.check()?;
        let (server, meter) = (&self.server, &self.meter);
        let outcome = self.clients.run(block, &mut || Ok(server.cpu(meter)?));
        // A dead server explains a failed run better than a broken connection does.
        self.server.check()?;
        let mut sample = outcome?;
        // Each transaction deletes a row and puts it back.
        let rows: Option<u32> = self
            .desk
            .query_first("SELECT COUNT(*) FROM aegis.sbtest1")?;
        if rows != Some(ROWS) {
            *sample.errors.entry(WRONG_ROWS.to_owned()).or_default() += 1;
        }
        Ok(sample)
    }

    fn opens_per_operation(&self) -> f64 {
        // The server has its files open; a client reads its option file for each connection.
        1.0 / LIFETIME as f64
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.clients.hold_up(delay);
        true
    }
}

/// The file in which a client finds its server, and its password if it had one.
fn option_file(scratch: &Path) -> PathBuf {
    scratch.join("my.cnf")
}

fn initialise(data: &Path) -> Result<(), BoxError> {
    let program = find_program("mariadb-install-db").ok_or_else(|| INSTALL.to_string())?;
    let mut command = Command::new(program);
    command
        .arg("--no-defaults")
        .arg(format!("--datadir={}", data.display()))
        .arg(format!("--user={USER}"))
        .args(["--auth-root-authentication-method=normal", "--skip-test-db"])
        .env("LC_ALL", "C");
    match program::run(&mut command)?.failure {
        None => Ok(()),
        Some(class) => Err(format!("mariadb-install-db of {}: {class}", data.display()).into()),
    }
}

fn start(scratch: &Path, data: &Path, socket: &Path) -> Result<Service, BoxError> {
    let program = find_program("mariadbd").ok_or_else(|| MARIADB.to_string())?;
    let log = scratch.join("mariadb.log");
    fs::write(&log, "")?;
    let server = Service::start_in_cgroup("mariadb", Path::new("/bin/sh"), &log, |command| {
        command
            .args(["-c", r#"exec >"$0" 2>&1 && exec "$@""#])
            .arg(&log)
            .arg(program)
            // Only as the first word does it keep the system's configuration out.
            .arg("--no-defaults")
            .arg(format!("--user={USER}"))
            .arg(format!("--datadir={}", data.display()))
            .arg(format!("--socket={}", socket.display()))
            .arg(format!(
                "--pid-file={}",
                socket.with_extension("pid").display()
            ))
            .args(SETTINGS);
    })?;
    // Nothing of it is kept, so it need not put anything in order.
    let mut server = server.stopped_by(Signal::SIGKILL, Duration::from_secs(1));
    server.wait_until(
        |_| Conn::new(options(socket, None)).is_ok(),
        Duration::from_secs(120),
    )?;
    Ok(server)
}

fn options(socket: &Path, database: Option<&str>) -> OptsBuilder {
    OptsBuilder::new()
        .socket(Some(socket.display().to_string()))
        .user(Some("root"))
        .db_name(database)
}

fn fill(desk: &mut Conn) -> Result<(), mysql::Error> {
    desk.query_drop("CREATE DATABASE aegis")?;
    desk.query_drop(
        "CREATE TABLE aegis.sbtest1 (id INT NOT NULL PRIMARY KEY, k INT NOT NULL, c CHAR(120) NOT NULL,
            pad CHAR(60) NOT NULL, KEY k_1 (k)) ENGINE=InnoDB",
    )?;
    let mut rng = ChaCha8Rng::seed_from_u64(SEED);
    for first in (1..=ROWS).step_by(1_000) {
        let rows: Vec<String> = (first..first + 1_000)
            .map(|id| {
                let (k, c, pad) = (
                    rng.random_range(1..=ROWS),
                    text(&mut rng, 11),
                    text(&mut rng, 5),
                );
                format!("({id}, {k}, '{c}', '{pad}')")
            })
            .collect();
        desk.query_drop(format!(
            "INSERT INTO aegis.sbtest1 VALUES {}",
            rows.join(",")
        ))?;
    }
    desk.query_drop("ANALYZE TABLE aegis.sbtest1")
}

/// Groups of digits, as sysbench writes them.
fn text(rng: &mut ChaCha8Rng, groups: u32) -> String {
    let groups: Vec<String> = (0..groups)
        .map(|_| format!("{:010}", rng.random_range(0..10_000_000_000_u64)))
        .collect();
    groups.join("-")
}

/// A client with its prepared statements, in the order of [`STATEMENTS`].
struct Oltp {
    credentials: PathBuf,
    connection: Conn,
    statements: Vec<Statement>,
}

/// What one transaction does.
struct Keys {
    points: [u32; 10],
    ranges: [u32; 4],
    updates: [u32; 2],
    replaced: u32,
    k: u32,
    /// The texts of the updated row and of the replaced one: two, or a range might hold the same text twice.
    c: [String; 2],
    pad: String,
}

impl Keys {
    fn draw(rng: &mut ChaCha8Rng) -> Self {
        Self {
            points: std::array::from_fn(|_| rng.random_range(1..=ROWS)),
            ranges: std::array::from_fn(|_| rng.random_range(1..=ROWS - RANGE)),
            updates: std::array::from_fn(|_| rng.random_range(1..=ROWS)),
            replaced: rng.random_range(1..=ROWS),
            k: rng.random_range(1..=ROWS),
            c: std::array::from_fn(|_| text(rng, 11)),
            pad: text(rng, 5),
        }
    }
}

impl Oltp {
    fn connect(credentials: &Path) -> Result<Self, Failure> {
        let text = fs::read_to_string(credentials)?;
        let socket = text.lines().find_map(|line| line.strip_prefix("socket="));
        let socket = Path::new(socket.unwrap_or_default());
        let mut connection = Conn::new(options(socket, Some("aegis")))?;
        let statements = STATEMENTS.map(|sql| connection.prep(sql));
        Ok(Self {
            credentials: credentials.to_owned(),
            connection,
            statements: statements.into_iter().collect::<Result<_, _>>()?,
        })
    }

    /// Whether every statement gave the rows that it must.
    fn transact(&mut self, keys: &Keys) -> Result<bool, mysql::Error> {
        let Self {
            connection,
            statements,
            ..
        } = self;
        let mut transaction = connection.start_transaction(TxOpts::default())?;
        let mut whole = true;
        for id in keys.points {
            let row: Option<String> = transaction.exec_first(&statements[0], (id,))?;
            // Another transaction may have it between its delete and its insert, but not for us to see.
            whole &= row.is_some();
        }
        // The whole range, its sum, in order, and without doubles.
        for (statement, first) in statements[1..5].iter().zip(keys.ranges) {
            let range = (first, first + RANGE - 1);
            let rows: Vec<mysql::Row> = transaction.exec(statement, range)?;
            let expected = if statement == &statements[2] {
                1
            } else {
                RANGE as usize
            };
            whole &= rows.len() == expected;
        }
        let [indexed, other] = keys.updates;
        transaction.exec_drop(&statements[5], (indexed,))?;
        transaction.exec_drop(&statements[6], (&keys.c[0], other))?;
        transaction.exec_drop(&statements[7], (keys.replaced,))?;
        whole &= transaction.affected_rows() == 1;
        transaction.exec_drop(
            &statements[8],
            (keys.replaced, keys.k, &keys.c[1], &keys.pad),
        )?;
        transaction.commit()?;
        Ok(whole)
    }
}

impl Client for Oltp {
    fn operate(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        let keys = Keys::draw(rng);
        for _ in 0..RETRIES {
            match self.transact(&keys).map_err(|error| class(&error)) {
                Ok(true) => return Ok(()),
                Ok(false) => return Err(WRONG_ROWS.to_owned()),
                Err(class) if class == LOST_AGAINST_ANOTHER => {}
                Err(class) => return Err(class),
            }
        }
        Err(LOST_AGAINST_ANOTHER.to_owned())
    }

    fn reconnect(&mut self) -> Result<(), String> {
        *self = Self::connect(&self.credentials).map_err(|failure| failure.class())?;
        Ok(())
    }
}

/// Why a client has no connection.
#[derive(Debug, thiserror::Error)]
enum Failure {
    #[error("reading the option file: {0}")]
    OptionFile(#[from] io::Error),
    #[error(transparent)]
    Server(#[from] mysql::Error),
}

impl Failure {
    fn class(&self) -> String {
        match self {
            Self::OptionFile(error) => format!("option file: {}", error.kind()),
            Self::Server(error) => class(error),
        }
    }
}

/// The SQLSTATE; what the client says if the server said nothing.
fn class(error: &mysql::Error) -> String {
    match error {
        mysql::Error::MySqlError(error) => format!("SQLSTATE {}", error.state),
        mysql::Error::IoError(error) => error.kind().to_string(),
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_that_is_gone_and_a_server_that_is_gone_are_told_apart() {
        let missing = crate::workload::missing(Mysql.requires());
        if !missing.is_empty() {
            eprintln!("ignored: {missing:?}");
            return;
        }
        let scratch = crate::scratch::Scratch::new().unwrap();
        let mut session = MysqlSession::prepare(scratch.path()).unwrap();
        let mut client = Oltp::connect(&option_file(scratch.path())).unwrap();
        let mut rng = ChaCha8Rng::seed_from_u64(1);
        client.operate(&mut rng).unwrap();
        session
            .desk
            .query_drop("DELETE FROM aegis.sbtest1")
            .unwrap();
        assert_eq!(client.operate(&mut rng).unwrap_err(), WRONG_ROWS);
        session.desk.query_drop("DROP TABLE aegis.sbtest1").unwrap();
        assert_eq!(client.operate(&mut rng).unwrap_err(), "SQLSTATE 42S02");
        fs::remove_file(option_file(scratch.path())).unwrap();
        assert_eq!(
            client.reconnect().unwrap_err(),
            "option file: entity not found"
        );
        let processes = session.server.processes();
        drop(session);
        assert!(processes.into_iter().all(crate::service::has_ended));
        assert!(client.operate(&mut rng).is_err());
    }
}
