//! `cargo bench --bench ingest`: durable examples a second over HTTP, beside the bare cost of the same rows.
//!
//! For every format and number of clients a server takes the same rows on a new database; then a bare loop writes them into
//! the same table with the same indexes, as many rows in a transaction as the server had, in one process and without HTTP
//! (sqlx alone). The two take turns, and medians of rates and of ratios are shown. Clients and server share the machine, so
//! what the clients cost is in the figure. A second table has what decoding alone costs, on one thread.
//! `-- quick` measures once and few rows, to see that it works.

mod bare;
mod bodies;
mod rows;
mod served;

use std::time::Instant;

use comfy_table::Table;

use self::bodies::Body;
use self::rows::DataSet;

/// Requests at once.
const CLIENTS: [usize; 3] = [1, 16, 128];

/// Examples in a request.
const IN_A_REQUEST: usize = 100;

fn main() {
    perennial::process::prepare();
    let is_quick = std::env::args().any(|given| given == "quick");
    let (rounds, rows) = if is_quick { (1, 1_600) } else { (5, 12_800) };
    let runtime = tokio::runtime::Runtime::new().expect("a runtime");
    for data in [DataSet::images(rows), DataSet::mixed(rows)] {
        println!("\n{}: {} rows, {IN_A_REQUEST} in a request, {rounds} rounds", data.name, data.examples.len());
        show_decoding(&data);
        let mut table = Table::new();
        table.set_header(["format", "clients", "examples/s", "bare examples/s", "ratio", "rows in a commit"]);
        for body in Body::ALL {
            let requests = body.requests(&data, IN_A_REQUEST);
            for clients in CLIENTS {
                let (mut served, mut bare, mut ratios, mut in_commit) = (vec![], vec![], vec![], vec![]);
                for _ in 0..rounds {
                    let run = runtime.block_on(served::run(&data, body, &requests, clients));
                    let other = runtime.block_on(bare::run(&data, run.rows_in_a_commit));
                    served.push(run.rate);
                    bare.push(other);
                    ratios.push(run.rate / other);
                    in_commit.push(run.rows_in_a_commit as f64);
                }
                table.add_row([
                    body.name().to_owned(),
                    clients.to_string(),
                    format!("{:.0}", median(&mut served)),
                    format!("{:.0}", median(&mut bare)),
                    format!("{:.2}", median(&mut ratios)),
                    format!("{:.0}", median(&mut in_commit)),
                ]);
            }
        }
        println!("{table}");
    }
}

/// What it costs to get from bytes to encoded rows.
fn show_decoding(data: &DataSet) {
    let mut table = Table::new();
    table.set_header(["decoding alone", "examples/s", "MB/s"]);
    for body in Body::ALL {
        let requests = body.requests(data, IN_A_REQUEST);
        let bytes: usize = requests.iter().map(bytes::Bytes::len).sum();
        let mut seconds: Vec<f64> = (0..3)
            .map(|_| {
                let began = Instant::now();
                let decoded: usize = requests.iter().map(|request| body.decode(data, request)).sum();
                assert_eq!(decoded, data.examples.len(), "every row is decoded");
                began.elapsed().as_secs_f64()
            })
            .collect();
        let seconds = median(&mut seconds);
        let rate = data.examples.len() as f64 / seconds;
        table.add_row([body.name().to_owned(), format!("{rate:.0}"), format!("{:.0}", bytes as f64 / seconds / 1e6)]);
    }
    println!("{table}");
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
