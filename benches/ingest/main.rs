//! `cargo bench --bench ingest`: durable examples a second over HTTP, beside the bare cost of the same rows.
//!
//! For every database, format and number of clients a server takes the same rows on a new database; then a bare loop writes
//! them into the same table with the same indexes, as many rows in a transaction as the server had, in one process and
//! without HTTP (sqlx alone). The two take turns, and medians of rates and of ratios are shown. Clients and server share the
//! machine, so what the clients cost is in the figure. A second table says where the time of one client goes: every stage
//! of its requests measured alone. Postgres is the server that tests use (`tests/servers/postgres.rs`), in a folder of its own.
//!
//! `-- quick` measures once and few rows, to see that it works; `sqlite`, `postgres`, `images`, `mixed`, `json`, `ndjson`,
//! `arrow`, `rates` and `stages` measure only these; `rounds=9` takes more turns than 5, `request=400` requests of so many
//! examples instead of 100 (and for Arrow 1000 too), `clients=1` only so many clients. The figures stand in docs/PERFORMANCE.md.

mod bare;
mod bodies;
mod places;
mod rows;
mod served;
#[path = "../../tests/servers/postgres.rs"]
mod servers;
mod stages;

use bytes::Bytes;
use comfy_table::Table;
use tokio::runtime::Runtime;

use self::bare::{Amount, Commits};
use self::bodies::Body;
use self::places::{Kind, Place};
use self::rows::DataSet;
use self::served::Load;
use self::stages::Stages;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Requests at once.
const CLIENTS: [usize; 3] = [1, 16, 128];

/// Examples in a request, if nobody says; Arrow is for bulk loads.
const IN_A_REQUEST: usize = 100;
const IN_A_BULK_REQUEST: usize = 1_000;

fn main() {
    perennial::process::prepare();
    let wanted = Wanted::of(std::env::args().skip(1).collect());
    let runtime = Runtime::new().expect("a runtime");
    let mut kinds = Vec::new();
    if wanted.has("sqlite", &["postgres"]) {
        kinds.push(Kind::Sqlite);
    }
    if wanted.has("postgres", &["sqlite"]) {
        match servers::shared() {
            Some(server) => {
                println!("Postgres {}", server.version());
                kinds.push(Kind::Postgres(server));
            }
            None => {
                println!("Postgres is not measured: this machine has no server's binaries (PERENNIAL_POSTGRES_BIN)")
            }
        }
    }
    let rows = if wanted.is_quick { 1_600 } else { 12_800 };
    let images = wanted.has("images", &["mixed"]).then(|| DataSet::images(rows));
    let mixed = wanted.has("mixed", &["images"]).then(|| DataSet::mixed(rows));
    for data in [images, mixed].into_iter().flatten() {
        for &kind in &kinds {
            println!("\n{} on {}, {} rounds", data.name, kind.name(), wanted.rounds);
            if wanted.has("rates", &["stages"]) {
                println!("{}", rates(&runtime, &wanted, kind, &data));
            }
            if wanted.has("stages", &["rates"]) {
                println!("{}", shares(&runtime, &wanted, kind, &data));
            }
        }
    }
}

/// Examples a second of every format and number of clients, beside the bare rate.
fn rates(runtime: &Runtime, wanted: &Wanted, kind: Kind, data: &DataSet) -> Table {
    let mut table = Table::new();
    table.set_header(["format", "in a request", "clients", "examples/s", "bare examples/s", "ratio", "in a commit"]);
    for (body, rows) in wanted.bodies() {
        let bodies = body.bodies(data, rows);
        for clients in wanted.clients() {
            let load = wanted.load(data, (body, rows), &bodies, clients);
            let (mut served, mut bare, mut ratios, mut in_commit) = (vec![], vec![], vec![], vec![]);
            for _ in 0..wanted.rounds {
                let place = Place::new(kind);
                let run = runtime.block_on(served::run(&place, &load, clients));
                drop(place);
                let amount = Amount { rows: load.requests * load.rows, in_a_commit: run.rows_in_a_commit };
                let place = Place::new(kind);
                let other = runtime.block_on(bare::run(&place, data, amount, Commits::Synced));
                served.push(run.rate);
                bare.push(other);
                ratios.push(run.rate / other);
                in_commit.push(run.rows_in_a_commit as f64);
            }
            table.add_row([
                body.name().to_owned(),
                rows.to_string(),
                clients.to_string(),
                format!("{:.0}", median(&mut served)),
                format!("{:.0}", median(&mut bare)),
                format!("{:.2}", median(&mut ratios)),
                format!("{:.0}", median(&mut in_commit)),
            ]);
        }
    }
    table
}

/// Where the time of one client goes, in microseconds a row.
fn shares(runtime: &Runtime, wanted: &Wanted, kind: Kind, data: &DataSet) -> Table {
    type Stage = fn(&Stages) -> f64;
    let columns: [(&str, Stage); 7] = [
        ("carried", |stages| stages.carried),
        ("decoded", |stages| stages.decoded),
        ("encoded", |stages| stages.encoded),
        ("inserted", |stages| stages.inserted),
        ("synced", |stages| stages.synced),
        ("the rest", Stages::rest),
        ("all, served", |stages| stages.served),
    ];
    let mut table = Table::new();
    table.set_header(["us a row, one client", "in a request"].into_iter().chain(columns.iter().map(|(name, _)| *name)));
    for (body, rows) in wanted.bodies() {
        let bodies = body.bodies(data, rows);
        let load = wanted.load(data, (body, rows), &bodies, 1);
        let rounds: Vec<Stages> = (0..wanted.rounds).map(|_| runtime.block_on(stages::measure(kind, &load))).collect();
        let shown = columns.iter().map(|(_, stage)| {
            let micros = median(&mut rounds.iter().map(stage).collect::<Vec<_>>());
            let share = median(&mut rounds.iter().map(|round| stage(round) / round.served).collect::<Vec<_>>());
            format!("{micros:.2} ({:.0} %)", 100.0 * share)
        });
        table.add_row([body.name().to_owned(), rows.to_string()].into_iter().chain(shown));
    }
    table
}

/// What is to be measured.
struct Wanted {
    words: Vec<String>,
    is_quick: bool,
    rounds: usize,
    in_a_request: Option<usize>,
    clients: Option<usize>,
}

impl Wanted {
    fn of(words: Vec<String>) -> Self {
        let is_quick = words.iter().any(|word| word == "quick");
        let number = |name: &str| words.iter().find_map(|word| word.strip_prefix(name)?.parse().ok());
        let rounds = number("rounds=").unwrap_or(if is_quick { 1 } else { 5 });
        let in_a_request = number("request=").map(|rows| rows.clamp(1, 1_600));
        let clients = number("clients=").map(|clients: usize| clients.max(1));
        Self { words, is_quick, rounds, in_a_request, clients }
    }

    fn clients(&self) -> Vec<usize> {
        self.clients.map_or(CLIENTS.to_vec(), |clients| vec![clients])
    }

    /// Whether this is asked for, or nothing in its place.
    fn has(&self, word: &str, others: &[&str]) -> bool {
        let is_named = |word: &str| self.words.iter().any(|named| named == word);
        is_named(word) || !others.iter().any(|other| is_named(other))
    }

    /// The formats, each with so many rows in a request.
    fn bodies(&self) -> Vec<(Body, usize)> {
        let names = ["json", "ndjson", "arrow"];
        let formats = Body::ALL.into_iter().zip(names).filter(|(_, name)| self.has(name, &names));
        let sizes = |body| match (body, self.in_a_request) {
            (_, Some(rows)) => vec![rows],
            (Body::Arrow, None) => vec![IN_A_REQUEST, IN_A_BULK_REQUEST],
            _ => vec![IN_A_REQUEST],
        };
        formats.flat_map(|(body, _)| sizes(body).into_iter().map(move |rows| (body, rows))).collect()
    }

    /// So many requests that every client has a few.
    fn load<'d>(
        &self,
        data: &'d DataSet,
        (body, rows): (Body, usize),
        bodies: &'d [Bytes],
        clients: usize,
    ) -> Load<'d> {
        let requests = if self.is_quick { 16.max(clients) } else { (25_600 / rows).max(4 * clients) };
        Load { data, body, bodies, rows, requests }
    }
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
