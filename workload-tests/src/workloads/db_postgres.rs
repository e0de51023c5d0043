//! `db::postgres`: the real PostgreSQL, initialised in a private directory, reached by a socket in it alone.
//!
//! The transactions are those of `pgbench`'s TPC-B-like mix, sent by an open-loop client of our own, since `pgbench -R`
//! prints no percentiles and replays no keys.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, chown},
    path::{Path, PathBuf},
    process::Command,
    time::Duration,
};

use aegisbpf_measure::workload::{Block, BoxError, Kind, Sample, Session};
use nix::unistd::{Uid, User};
use postgres::{Client as Connection, Config, NoTls, Statement};
use rand_chacha::ChaCha8Rng;

use crate::{
    load::{Client, Clients, Worker},
    service::{Meter, Service},
    workload::{Prepared, Requirement, Workload, find_packaged, version},
    workloads::{
        bank::{self, Transfer, UNBALANCED},
        program,
    },
};

const POSTGRES: Requirement = Requirement::Packaged {
    path: SERVER,
    package: "postgresql",
};
const SERVER: &str = "/usr/lib/postgresql/*/bin/postgres";
const INITDB: &str = "/usr/lib/postgresql/*/bin/initdb";
/// Whom the server runs as where we are root.
const USERS: [&str; 2] = ["postgres", "nobody"];
const BRANCHES: i32 = 5;
const CLIENTS: usize = 4;
/// Transactions of one connection: PostgreSQL starts a process for each, which opens a few dozen files.
const LIFETIME: u64 = 50;
/// A socket's path may have 107 characters.
const SOCKET_LIMIT: usize = 107;

/// Everything that would run in some windows and not in others is kept out of all of them.
const SETTINGS: [(&str, &str); 9] = [
    ("listen_addresses", ""),
    ("shared_buffers", "128MB"),
    ("max_connections", "20"),
    ("autovacuum", "off"),
    ("checkpoint_timeout", "1h"),
    ("max_wal_size", "8GB"),
    ("max_parallel_workers_per_gather", "0"),
    ("jit", "off"),
    ("log_min_messages", "warning"),
];

const SCHEMA: &str = "
    CREATE TABLE pgbench_branches (bid int NOT NULL, bbalance int, filler char(88)) WITH (fillfactor=100);
    CREATE TABLE pgbench_tellers (tid int NOT NULL, bid int, tbalance int, filler char(84)) WITH (fillfactor=100);
    CREATE TABLE pgbench_accounts (aid int NOT NULL, bid int, abalance int, filler char(84)) WITH (fillfactor=100);
    CREATE TABLE pgbench_history (tid int, bid int, aid int, delta int, mtime timestamp, filler char(22));";

const STATEMENTS: [&str; 5] = [
    "UPDATE pgbench_accounts SET abalance = abalance + $1 WHERE aid = $2",
    "SELECT abalance FROM pgbench_accounts WHERE aid = $1",
    "UPDATE pgbench_tellers SET tbalance = tbalance + $1 WHERE tid = $2",
    "UPDATE pgbench_branches SET bbalance = bbalance + $1 WHERE bid = $2",
    "INSERT INTO pgbench_history (tid, bid, aid, delta, mtime) VALUES ($1, $2, $3, $4, CURRENT_TIMESTAMP)",
];

/// The workload. One operation is a committed transaction.
#[derive(Debug, Clone, Copy)]
pub struct Postgres;

impl Workload for Postgres {
    fn name(&self) -> &'static str {
        "db::postgres"
    }

    fn configuration(&self) -> String {
        format!(
            "{BRANCHES} branches, {CLIENTS} clients, {LIFETIME} transactions a connection, {SETTINGS:?}, {}",
            version(find_packaged(SERVER), "--version")
        )
    }

    fn requires(&self) -> &'static [Requirement] {
        &[POSTGRES, Requirement::Cgroup]
    }

    fn prepare(&self, scratch: &Path) -> Result<Prepared, BoxError> {
        let mut session = PostgresSession::prepare(scratch)?;
        // Each new connection opens it once.
        let sensitive = session.file_of("pgbench_branches")?;
        Ok(Prepared::new(session, vec![sensitive]))
    }
}

struct PostgresSession {
    clients: Clients<Teller>,
    /// A connection for what happens between blocks.
    desk: Connection,
    meter: Meter,
    postgres: Service,
    data: PathBuf,
}

impl PostgresSession {
    fn prepare(scratch: &Path) -> Result<Self, BoxError> {
        let user = user()?;
        let (data, socket) = (scratch.join("data"), scratch.join("socket"));
        for directory in [&data, &socket] {
            private(directory, &user)?;
        }
        check_length(&socket)?;
        initialise(&data, &user)?;
        let postgres = start(scratch, &data, &socket, &user)?;
        let config = config(&socket, &user);
        let mut desk = config.connect(NoTls)?;
        fill(&mut desk)?;
        let clients = (0..CLIENTS)
            .map(|_| Teller::connect(&config))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            clients: Clients::new(clients, Worker::Server, LIFETIME),
            desk,
            meter: postgres.meter()?,
            postgres,
            data,
        })
    }

    fn file_of(&mut self, table: &str) -> Result<PathBuf, BoxError> {
        let row = self
            .desk
            .query_one("SELECT pg_relation_filepath($1::text::regclass)", &[&table])?;
        Ok(self.data.join(row.get::<_, String>(0)))
    }

    /// What autovacuum would do now and then, but before each block: every transaction rewrites these small tables.
    fn tidy(&mut self) -> Result<(), postgres::Error> {
        self.desk.batch_execute("VACUUM pgbench_branches")?;
        self.desk.batch_execute("VACUUM pgbench_tellers")
    }

    fn is_balanced(&mut self) -> Result<bool, postgres::Error> {
        let row = self.desk.query_one(
            "SELECT (SELECT SUM(abalance) FROM pgbench_accounts), (SELECT SUM(tbalance) FROM pgbench_tellers),
                (SELECT SUM(bbalance) FROM pgbench_branches), (SELECT COALESCE(SUM(delta), 0) FROM pgbench_history)",
            &[],
        )?;
        Ok(bank::is_balanced(
            [0, 1, 2, 3].map(|column| row.get(column)),
        ))
    }
}

impl Session for PostgresSession {
    fn kind(&self) -> Kind {
        Kind::Service
    }

    fn run(&mut self, block: &Block) -> Result<Sample, BoxError> {
        self.postgres.check()?;
        let tidied = self.tidy();
        let (postgres, meter) = (&self.postgres, &self.meter);
        let outcome = self.clients.run(block, &mut || Ok(postgres.cpu(meter)?));
        // A dead server explains a failed run better than a broken connection does.
        self.postgres.check()?;
        let mut sample = outcome?;
        let mut count = |class: String| *sample.errors.entry(class).or_default() += 1;
        // A server that denies this, too, has spoken: its files may be denied to it.
        for outcome in [tidied.map(|()| true), self.is_balanced()] {
            match outcome {
                Ok(true) => {}
                Ok(false) => count(UNBALANCED.to_owned()),
                Err(error) if error.code().is_some() => count(class(&error)),
                Err(error) => return Err(error.into()),
            }
        }
        Ok(sample)
    }

    fn opens_per_operation(&self) -> f64 {
        // A new connection opens two dozen files; how many exactly depends on the version.
        10.0 / LIFETIME as f64
    }

    fn hold_up(&mut self, delay: Duration) -> bool {
        self.clients.hold_up(delay);
        true
    }
}

/// Whom the server runs as. It refuses root, so as root another user takes its place.
fn user() -> Result<User, BoxError> {
    if !Uid::effective().is_root() {
        let own = User::from_uid(Uid::effective())?;
        return own.ok_or_else(|| "our own user has no name".into());
    }
    for name in USERS {
        if let Some(user) = User::from_name(name)? {
            return Ok(user);
        }
    }
    Err(format!("none of the users {USERS:?} is there, and PostgreSQL refuses root").into())
}

/// A directory of the server's user alone.
fn private(directory: &Path, user: &User) -> Result<(), BoxError> {
    fs::create_dir(directory)?;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o700))?;
    chown(directory, Some(user.uid.as_raw()), Some(user.gid.as_raw()))?;
    Ok(())
}

fn check_length(socket: &Path) -> Result<(), BoxError> {
    let length = socket.join(".s.PGSQL.5432").as_os_str().len();
    if length <= SOCKET_LIMIT {
        return Ok(());
    }
    Err(format!(
        "the path of PostgreSQL's socket in {} has {length} characters, {SOCKET_LIMIT} are possible: set {} to a shorter directory",
        socket.display(),
        crate::scratch::SCRATCH_VARIABLE
    )
    .into())
}

/// The words before a command that make the user run it.
fn as_user(user: &User) -> Vec<String> {
    if Uid::effective() == user.uid {
        return Vec::new();
    }
    let (uid, gid) = (user.uid, user.gid);
    vec![
        "/usr/bin/setpriv".to_owned(),
        format!("--reuid={uid}"),
        format!("--regid={gid}"),
        "--clear-groups".to_owned(),
    ]
}

fn initialise(data: &Path, user: &User) -> Result<(), BoxError> {
    let initdb = find_packaged(INITDB).ok_or_else(|| POSTGRES.to_string())?;
    let mut words = as_user(user);
    words.push(initdb.display().to_string());
    let mut command = Command::new(&words[0]);
    command
        .args(&words[1..])
        .arg("-D")
        .arg(data)
        .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C"])
        .current_dir("/")
        .env_clear()
        .env("PATH", "/usr/bin:/bin");
    match program::run(&mut command)?.failure {
        None => Ok(()),
        Some(class) => Err(format!("initdb of {}: {class}", data.display()).into()),
    }
}

fn start(scratch: &Path, data: &Path, socket: &Path, user: &User) -> Result<Service, BoxError> {
    let program = find_packaged(SERVER).ok_or_else(|| POSTGRES.to_string())?;
    let log = scratch.join("postgres.log");
    let mut postgres =
        Service::start_in_cgroup("postgres", Path::new("/bin/sh"), &log, |command| {
            // The log is opened by us, who may write there; what runs then is another user.
            command
                .args(["-c", r#"exec >"$0" 2>&1 && exec "$@""#])
                .arg(&log)
                .args(as_user(user))
                .arg(program)
                .arg("-D")
                .arg(data)
                .arg("-k")
                .arg(socket);
            for (name, value) in SETTINGS {
                command.arg("-c").arg(format!("{name}={value}"));
            }
            command.current_dir("/").env("LC_ALL", "C");
        })?;
    let config = config(socket, user);
    postgres.wait_until(|_| config.connect(NoTls).is_ok(), Duration::from_secs(120))?;
    Ok(postgres)
}

fn config(socket: &Path, user: &User) -> Config {
    let mut config = Config::new();
    config
        .host_path(socket)
        .user(&user.name)
        .dbname("postgres")
        .connect_timeout(Duration::from_secs(10));
    config
}

fn fill(desk: &mut Connection) -> Result<(), postgres::Error> {
    let (tellers, accounts) = (BRANCHES * bank::TELLERS, BRANCHES * bank::ACCOUNTS);
    let (per_teller, per_account) = (bank::TELLERS, bank::ACCOUNTS);
    desk.batch_execute(&format!(
        "{SCHEMA}
        INSERT INTO pgbench_branches SELECT id, 0, '' FROM generate_series(1, {BRANCHES}) id;
        INSERT INTO pgbench_tellers SELECT id, (id - 1) / {per_teller} + 1, 0, '' FROM generate_series(1, {tellers}) id;
        INSERT INTO pgbench_accounts SELECT id, (id - 1) / {per_account} + 1, 0, '' FROM generate_series(1, {accounts}) id;
        ALTER TABLE pgbench_branches ADD PRIMARY KEY (bid);
        ALTER TABLE pgbench_tellers ADD PRIMARY KEY (tid);
        ALTER TABLE pgbench_accounts ADD PRIMARY KEY (aid);
        ANALYZE;"
    ))?;
    desk.batch_execute("CHECKPOINT")
}

/// A client with its prepared statements, in the order of [`STATEMENTS`].
struct Teller {
    config: Config,
    connection: Connection,
    statements: Vec<Statement>,
}

impl Teller {
    fn connect(config: &Config) -> Result<Self, postgres::Error> {
        let mut connection = config.connect(NoTls)?;
        let statements = STATEMENTS.map(|sql| connection.prepare(sql));
        Ok(Self {
            config: config.clone(),
            connection,
            statements: statements.into_iter().collect::<Result<_, _>>()?,
        })
    }

    fn transfer(&mut self, transfer: Transfer) -> Result<bool, postgres::Error> {
        let Transfer {
            account,
            teller,
            branch,
            delta,
        } = transfer;
        let [to_account, balance, to_teller, to_branch, history] = &self.statements[..] else {
            return Ok(false);
        };
        let mut transaction = self.connection.transaction()?;
        transaction.execute(to_account, &[&delta, &account])?;
        let found = transaction.query_opt(balance, &[&account])?;
        transaction.execute(to_teller, &[&delta, &teller])?;
        transaction.execute(to_branch, &[&delta, &branch])?;
        transaction.execute(history, &[&teller, &branch, &account, &delta])?;
        transaction.commit()?;
        Ok(found.is_some())
    }
}

impl Client for Teller {
    fn operate(&mut self, rng: &mut ChaCha8Rng) -> Result<(), String> {
        bank::outcome(self.transfer(Transfer::draw(rng, BRANCHES)), class)
    }

    fn reconnect(&mut self) -> Result<(), String> {
        *self = Self::connect(&self.config).map_err(|error| class(&error))?;
        Ok(())
    }
}

/// The SQLSTATE; what the client says if the server said nothing.
fn class(error: &postgres::Error) -> String {
    error.code().map_or_else(
        || error.to_string(),
        |code| format!("SQLSTATE {}", code.code()),
    )
}

#[cfg(test)]
mod tests {
    use aegisbpf_measure::workload::Load;
    use rand::SeedableRng;

    use super::*;
    use crate::workloads::bank::LOST;

    fn session() -> Option<(crate::scratch::Scratch, PostgresSession)> {
        let missing = crate::workload::missing(Postgres.requires());
        if !missing.is_empty() {
            eprintln!("ignored: {missing:?}");
            return None;
        }
        let scratch = crate::scratch::Scratch::new().unwrap();
        let session = PostgresSession::prepare(scratch.path()).unwrap();
        Some((scratch, session))
    }

    #[test]
    fn a_socket_too_deep_is_refused_with_its_remedy() {
        let error = check_length(&Path::new("/").join("d".repeat(100))).unwrap_err();
        assert!(error.to_string().contains("AEGIS_SCRATCH"), "{error}");
        check_length(Path::new("/tmp/socket")).unwrap();
    }

    #[test]
    fn errors_have_their_sqlstate_and_a_wrong_book_is_noticed() {
        let Some((_scratch, mut session)) = session() else {
            return;
        };
        assert!(session.is_balanced().unwrap());
        let block = Block {
            seed: 1,
            settle: Duration::ZERO,
            window: Duration::from_millis(200),
            load: Load::Open { rate: 50.0 },
        };
        session
            .desk
            .batch_execute("UPDATE pgbench_tellers SET tbalance = tbalance + 1 WHERE tid = 1")
            .unwrap();
        let sample = session.run(&block).unwrap();
        assert_eq!(sample.operations, 10);
        assert_eq!(sample.errors.keys().collect::<Vec<_>>(), [UNBALANCED]);

        session
            .desk
            .batch_execute("DROP TABLE pgbench_history")
            .unwrap();
        // What the server denies to whoever asks between blocks is an error of its class as well.
        let sample = session.run(&block).unwrap();
        assert!(sample.errors.contains_key("SQLSTATE 42P01"));
        let config = session.clients_config();
        let mut teller = Teller {
            statements: Vec::new(),
            connection: config.connect(NoTls).unwrap(),
            config,
        };
        assert_eq!(teller.reconnect().unwrap_err(), "SQLSTATE 42P01");
        assert_eq!(
            teller
                .operate(&mut ChaCha8Rng::seed_from_u64(1))
                .unwrap_err(),
            LOST
        );
    }

    impl PostgresSession {
        fn clients_config(&self) -> Config {
            config(&self.data.with_file_name("socket"), &user().unwrap())
        }
    }

    #[test]
    fn a_killed_server_is_reported_and_leaves_no_process() {
        let Some((_scratch, mut session)) = session() else {
            return;
        };
        let processes = session.postgres.processes();
        assert!(processes.len() > CLIENTS, "{processes:?}");
        nix::sys::signal::kill(session.postgres.pid(), nix::sys::signal::Signal::SIGKILL).unwrap();
        let error = session
            .postgres
            .wait_until(|_| false, Duration::from_secs(10))
            .unwrap_err();
        assert!(
            error.to_string().contains("postgres ended (signal: 9"),
            "{error}"
        );
        drop(session);
        assert!(processes.into_iter().all(crate::service::has_ended));
    }
}
