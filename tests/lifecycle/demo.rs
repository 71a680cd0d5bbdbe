//! The demonstration, as a user runs it.

use std::process::Command;

use serde_json::Value;

#[test]
fn the_demonstration_grows_by_policy_and_learns_the_digits() {
    let folder = tempfile::tempdir().expect("a folder");
    let report = folder.path().join("report.json");
    let output = Command::new(env!("CARGO_BIN_EXE_perennial"))
        .args(["demo", "--exit", "--port", "0", "--report"])
        .arg(&report)
        .output()
        .expect("it runs");
    let told = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "{told}\n{}", String::from_utf8_lossy(&output.stderr));

    let report: Value = serde_json::from_slice(&std::fs::read(&report).expect("written")).expect("JSON");
    let growths = report["growths"].as_array().expect("growths");
    let by_policy =
        |op: &str| growths.iter().filter(|growth| growth["op"] == op && growth["trigger"] == "policy").count();
    assert!(by_policy("wider") >= 2 && by_policy("deeper") >= 1, "{report:#}");
    for growth in growths {
        assert!(growth["max_rel_diff"].as_f64().expect("measured") <= 1e-5, "{growth:#}");
        assert_eq!(growth["accuracy_before"], growth["accuracy_after"], "{growth:#}");
        assert!(growth["parameters_after"].as_u64() > growth["parameters_before"].as_u64());
    }
    assert_eq!((&report["start"]["examples"], &report["end"]["examples"]), (&Value::from(0), &Value::from(1_437)));
    assert!(report["start"]["accuracy"].as_f64().expect("measured") < 0.5, "{report:#}");
    assert!(report["end"]["accuracy"].as_f64().expect("measured") >= 0.95, "{report:#}");
}
