//! The command line as a whole: what is read as what.

use clap::CommandFactory;

use super::*;

fn read(line: &str) -> Result<Arguments, clap::Error> {
    Arguments::try_parse_from(std::iter::once("perennial").chain(line.split_whitespace()))
}

#[test]
fn the_command_line_is_well_formed() {
    Arguments::command().debug_assert();
}

#[test]
fn explain_is_a_command_and_every_other_word_a_learner() {
    let is_explain = |line: &str| match read(line).unwrap().command {
        Command::Growth(arguments) => arguments.command.is_some(),
        other => panic!("{line} is {other:?}"),
    };
    for line in ["growth explain mlp --wider all", "growth explain mlp --wider all --json"] {
        assert!(is_explain(line), "{line}");
    }
    for line in
        ["growth digits", "growth digits --decisions --json", "growth -- explain", "growth --decisions -- explain"]
    {
        assert!(!is_explain(line), "{line}");
    }
}

#[test]
fn a_line_that_asks_for_nothing_or_for_two_things_is_refused() {
    for line in [
        "growth",
        "growth digits explain mlp --wider all",
        "growth explain --wider all",
        "growth explain mlp",
        "growth explain mlp --learner digits --wider all",
        "growth explain mlp --wider all --new-inputs 2",
        "growth explain --learner digits --new-classes 2",
        "growth explain --learner digits --wider all --certify",
        "growth explain --learner digits --wider all --set hidden=[3]",
        "grow digits",
        "grow digits --auto --wider all",
        "grow digits --auto --factor 2",
        "grow digits --auto --kind residual",
        "grow digits --auto --split fresh",
        "growth explain mlp --new-inputs 2 --norm batch",
        "alias set digits canary",
        "alias set digits canary 3 --pin --no-pin",
        "rollback",
        "versions digits --lineage 3 --weights 3 -o file",
    ] {
        assert!(read(line).is_err(), "{line}");
    }
    for line in [
        "growth explain --network file.toml --deeper all --norm batch",
        "growth explain --learner digits --wider module* --server http://127.0.0.1:1",
        "growth explain mlp --new-inputs 2 --certify --against plan.json",
        "grow digits --auto",
        "alias set digits live canary --if-generation 3 --reason because --actor anna",
        "alias history digits --at 2026-01-01T00:00:00Z",
        "rollback digits --to 3 --json",
        "unpin digits",
        "predict digits --inputs {} --version canary",
        "grow digits --deeper all --norm batch --factor 2 --dry-run",
    ] {
        assert!(read(line).is_ok(), "{line}");
    }
}
