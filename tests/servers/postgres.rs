//! A Postgres server for tests: started from the machine's binaries in a folder of its own, gone with the test process.
//!
//! One server serves a whole test process ([`shared`]), with a [`Database`] of its own for every test; a test that kills its
//! server starts one for itself ([`PostgresServer::start`]). Binaries are looked for in `PERENNIAL_POSTGRES_BIN`, in
//! `/usr/lib/postgresql/*/bin` and on the `PATH`; the newest are taken. Without any, tests pass over what needs them, unless
//! `PERENNIAL_REQUIRE_POSTGRES` is set. Included with `#[path]` by the library's tests, by those of the binary and by a bench.

// Every test binary uses a part of this.
#![allow(dead_code)]

use std::fs;
use std::os::unix::fs::{PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{LazyLock, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::{AssertSqlSafe, ConnectOptions, Connection, PgConnection, Row as _};

/// How long anything may take before a test says that it hangs.
const PATIENCE: Duration = Duration::from_secs(120);

/// The pause between two looks at whether a server answers.
const LOOK: Duration = Duration::from_millis(20);

/// What waits for the test process to end, however it ends, and clears up after it: the end of its input tells it.
const GUARD: &str = r#"
cat > /dev/null
pid=$(head -n 1 "$1/data/postmaster.pid" 2> /dev/null)
is_ours() { tr '\0' ' ' < "/proc/$pid/cmdline" 2> /dev/null | grep -qF "$1"; }
if [ -n "$pid" ] && is_ours "$1"; then
    kill -QUIT "$pid"
    for look in 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20; do is_ours "$1" || break; sleep 0.1; done
    is_ours "$1" && kill -KILL "$pid"
fi
rm -rf "$1"
"#;

/// The server of this test process; `None` if this machine has no binaries.
pub fn shared() -> Option<&'static PostgresServer> {
    static SHARED: LazyLock<Option<PostgresServer>> = LazyLock::new(PostgresServer::start);
    SHARED.as_ref()
}

/// A running server.
pub struct PostgresServer {
    binaries: PathBuf,
    folder: PathBuf,
    user: Option<User>,
    version: String,
    postmaster: Mutex<Child>,
    guard: Child,
}

/// Whom the server runs as where we are root, as which Postgres refuses to run.
#[derive(Clone, Copy)]
struct User {
    user: u32,
    group: u32,
}

impl PostgresServer {
    /// Starts a server and waits until it answers; `None` if this machine has no binaries.
    pub fn start() -> Option<Self> {
        let binaries = newest_binaries();
        if binaries.is_none() && std::env::var_os("PERENNIAL_REQUIRE_POSTGRES").is_some() {
            panic!("PERENNIAL_REQUIRE_POSTGRES is set, and this machine has no Postgres binaries");
        }
        let binaries = binaries?;
        // A socket's path has at most 107 bytes.
        let user = unprivileged();
        let folder =
            tempfile::Builder::new().prefix("perennial-pg-").tempdir_in(open_folder()).expect("a folder").keep();
        if let Some(user) = user {
            chown(&folder, Some(user.user), Some(user.group)).expect("the folder is given to the server's user");
        }
        let guard = start_guard(&folder);
        let initdb = command(&binaries, "initdb", user)
            .args(["--username=perennial", "--auth=trust", "--encoding=UTF8", "--locale=C", "--no-sync", "--pgdata"])
            .arg(folder.join("data"))
            .stdout(Stdio::null())
            .output()
            .expect("initdb runs");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        let postmaster = start_postmaster(&binaries, &folder, user);
        let mut server =
            Self { binaries, folder, user, version: String::new(), postmaster: Mutex::new(postmaster), guard };
        server.wait();
        server.version = server.ask("SHOW server_version");
        Some(server)
    }

    /// What the server says of itself.
    pub fn version(&self) -> &str {
        &self.version
    }

    /// Where a database of this server is.
    pub fn url(&self, database: &str) -> String {
        format!("postgres:///{database}?host={}&user=perennial", self.folder.display())
    }

    /// `kill -9` of every process of the server.
    pub fn kill(&self) {
        let mut postmaster = self.postmaster();
        let all = [postmaster.id()].into_iter().chain(children_of(postmaster.id()));
        for process in all.filter_map(|process| rustix::process::Pid::from_raw(process as i32)) {
            // One that is gone already is as good as killed.
            rustix::process::kill_process(process, rustix::process::Signal::KILL).ok();
        }
        postmaster.wait().expect("gone");
    }

    /// Starts the killed server again and waits until it answers.
    pub fn restart(&self) {
        let start = Instant::now();
        loop {
            *self.postmaster() = start_postmaster(&self.binaries, &self.folder, self.user);
            if self.answers() {
                return;
            }
            // Processes of the killed server may have been still on their way out.
            assert!(start.elapsed() < PATIENCE, "the server does not start again: {}", self.log());
        }
    }

    /// Runs a statement on the server's own database.
    pub fn run(&self, statement: &str) {
        let (url, statement) = (self.url("postgres"), statement.to_owned());
        blocking(async move {
            let mut connection = connect(&url).await.expect("connected");
            sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await.expect("done");
            connection.close().await.ok();
        });
    }

    /// Asks the server's own database for a text.
    pub fn ask(&self, query: &str) -> String {
        let (url, query) = (self.url("postgres"), query.to_owned());
        blocking(async move {
            let mut connection = connect(&url).await.expect("connected");
            let row = sqlx::query(AssertSqlSafe(query)).fetch_one(&mut connection).await.expect("an answer");
            connection.close().await.ok();
            row.try_get(0).expect("a text")
        })
    }

    fn wait(&self) {
        assert!(self.answers(), "the server ended: {}", self.log());
    }

    /// Waits until the server answers; `false` if it ends before.
    fn answers(&self) -> bool {
        let start = Instant::now();
        loop {
            let url = self.url("postgres");
            if blocking(async move { connect(&url).await.is_ok() }) {
                return true;
            }
            if self.postmaster().try_wait().expect("its state").is_some() {
                return false;
            }
            assert!(start.elapsed() < PATIENCE, "the server does not answer: {}", self.log());
            std::thread::sleep(LOOK);
        }
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.join("log")).unwrap_or_default()
    }

    fn postmaster(&self) -> MutexGuard<'_, Child> {
        self.postmaster.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        // The shared server is never dropped: there the guard alone clears up.
        self.kill();
        drop(self.guard.stdin.take());
        self.guard.wait().ok();
    }
}

/// A database of its own, dropped with the value.
pub struct Database<'s> {
    server: &'s PostgresServer,
    name: String,
}

impl<'s> Database<'s> {
    /// A new, empty one.
    pub fn new(server: &'s PostgresServer) -> Self {
        static NEXT: AtomicU32 = AtomicU32::new(1);
        let name = format!("test_{}", NEXT.fetch_add(1, Ordering::Relaxed));
        server.run(&format!("CREATE DATABASE {name} TEMPLATE template0"));
        Self { server, name }
    }

    /// Where it is.
    pub fn url(&self) -> String {
        self.server.url(&self.name)
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Its server.
    pub fn server(&self) -> &'s PostgresServer {
        self.server
    }

    /// A connection to it, for what a test looks at or breaks by itself.
    pub async fn connect(&self) -> PgConnection {
        connect(&self.url()).await.expect("connected")
    }
}

impl Drop for Database<'_> {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.server.run(&format!("DROP DATABASE {} WITH (FORCE)", self.name));
        }
    }
}

async fn connect(url: &str) -> Result<PgConnection, sqlx::Error> {
    let options: sqlx::postgres::PgConnectOptions = url.parse()?;
    options.disable_statement_logging().connect().await
}

/// Runs a future on a thread and a runtime of its own: tests call from within theirs.
fn blocking<T: Send + 'static>(future: impl Future<Output = T> + Send + 'static) -> T {
    let run = || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(future)
    };
    std::thread::spawn(run).join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
}

fn command(binaries: &Path, program: &str, user: Option<User>) -> Command {
    let mut command = Command::new(binaries.join(program));
    // The caller's folder may be closed to the server's user.
    command.current_dir("/").stdin(Stdio::null());
    if let Some(User { user, group }) = user {
        command.uid(user).gid(group);
    }
    command
}

fn start_postmaster(binaries: &Path, folder: &Path, user: Option<User>) -> Child {
    let log = fs::OpenOptions::new().create(true).append(true).open(folder.join("log")).expect("a log");
    command(binaries, "postgres", user)
        .arg("-D")
        .arg(folder.join("data"))
        .arg("-k")
        .arg(folder)
        .args(["-c", "listen_addresses=", "-c", "max_connections=200", "-c", "shared_buffers=32MB"])
        // Its own group: a Ctrl-C at the terminal is for the tests, and the guard ends the server after them.
        .process_group(0)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("postgres starts")
}

fn start_guard(folder: &Path) -> Child {
    Command::new("sh")
        .args(["-c", GUARD, "guard"])
        .arg(folder)
        .current_dir("/")
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("sh starts")
}

/// The processes whose parent is this one.
fn children_of(parent: u32) -> Vec<u32> {
    let processes = fs::read_dir("/proc").expect("processes").filter_map(Result::ok);
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    numbers
        .filter(|process| {
            // "pid (name) state parent …"; a name may have spaces and brackets.
            let state = fs::read_to_string(format!("/proc/{process}/stat")).unwrap_or_default();
            let fields = state.rsplit_once(')').map_or("", |(_, fields)| fields);
            fields.split_whitespace().nth(1).and_then(|field| field.parse().ok()) == Some(parent)
        })
        .collect()
}

/// Somebody other than root, if we are root.
fn unprivileged() -> Option<User> {
    if !rustix::process::geteuid().is_root() {
        return None;
    }
    let users = fs::read_to_string("/etc/passwd").expect("users");
    let find = |name: &str| {
        let mut fields = users.lines().find(|line| line.starts_with(&format!("{name}:")))?.split(':').skip(2);
        Some(User { user: fields.next()?.parse().ok()?, group: fields.next()?.parse().ok()? })
    };
    Some(find("postgres").or_else(|| find("nobody")).expect("a user that is not root"))
}

/// A folder for temporary things that the server's user gets into.
fn open_folder() -> PathBuf {
    let folder = std::env::temp_dir();
    let is_open = |path: &Path| fs::metadata(path).is_ok_and(|found| found.permissions().mode() & 0o001 != 0);
    if folder.ancestors().filter(|path| path.is_absolute()).all(is_open) { folder } else { PathBuf::from("/tmp") }
}

/// The folder of the newest server on this machine.
fn newest_binaries() -> Option<PathBuf> {
    if let Some(folder) = std::env::var_os("PERENNIAL_POSTGRES_BIN") {
        let folder = PathBuf::from(folder);
        assert!(version_of(&folder).is_some(), "PERENNIAL_POSTGRES_BIN has no initdb and postgres");
        return Some(folder);
    }
    let packaged = fs::read_dir("/usr/lib/postgresql").into_iter().flatten().filter_map(Result::ok);
    let packaged = packaged.map(|entry| entry.path().join("bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    let everywhere = packaged.chain(std::env::split_paths(&path));
    everywhere
        .filter_map(|folder| Some((version_of(&folder)?, folder)))
        .max_by(|(one, _), (other, _)| one.cmp(other))
        .map(|(_, folder)| folder)
}

/// The version of a folder's server, as numbers to compare; `None` if it has none.
fn version_of(folder: &Path) -> Option<Vec<u32>> {
    if !folder.join("initdb").exists() {
        return None;
    }
    let output = Command::new(folder.join("postgres")).arg("--version").output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?;
    let version = text.split_whitespace().find(|word| word.starts_with(|c: char| c.is_ascii_digit()))?;
    Some(version.split('.').filter_map(|number| number.parse().ok()).collect())
}
