//! The crash harness: a real server is killed again and again while examples, predictions, growth orders, settings and
//! deletions come in; a checker looks after every kill, and in the end every learner's life is lived again and compared.
//!
//! `PERENNIAL_CRASH_KILLS` says how often it is killed, `PERENNIAL_CRASH_SEED` repeats a schedule (the moments of the kills
//! are its own; what the server is doing then is the machine's), `PERENNIAL_CRASH_BINARY` takes another binary, a release
//! build for one. When something is wrong the data folder is kept, and its path and the seed are printed.

mod checker;
mod clients;
mod dice;
mod learners;
mod ledger;
mod moment;
mod process;
mod run;
mod watch;

use dice::Dice;
use run::Run;

/// A number from the environment.
fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{name} is no whole number")))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_life_with_a_hundred_kills_loses_nothing_and_is_the_life_without_them() {
    let kills = setting("PERENNIAL_CRASH_KILLS").unwrap_or(100);
    let seed = setting("PERENNIAL_CRASH_SEED").unwrap_or_else(dice::any_seed);
    let folder = tempfile::tempdir().expect("a folder");
    // In a task of its own, so that the folder is kept also when something in it panics.
    let path = folder.path().to_owned();
    let outcome = tokio::spawn(async move { Run::new(&path, Dice::new(seed)).live(kills).await }).await;
    match outcome {
        Ok(Ok(summary)) => println!("seed {seed}: {summary}"),
        Ok(Err(fault)) => {
            panic!("{fault}\nPERENNIAL_CRASH_SEED={seed}, the data is kept in {}", folder.keep().display())
        }
        Err(panic) => panic!("{panic}\nPERENNIAL_CRASH_SEED={seed}, the data is kept in {}", folder.keep().display()),
    }
}
