//! A data folder that goes away under the server.

use super::stream::{Stream, log_says, logged, metric};
use crate::server::Process;

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_moved_away_loses_nothing_that_was_acknowledged() {
    let folder = tempfile::tempdir().expect("a folder");
    let (data, away) = (folder.path().join("data"), folder.path().join("away"));
    let server = logged(&data, folder.path());
    let mut stream = Stream::start(&server).await;
    std::fs::rename(&data, &away).expect("moved");
    for _ in 0..3 {
        let (status, answer) = stream.post(&server, 20).await;
        assert_eq!((status, answer["code"].as_str()), (503, Some("storage_unavailable")), "{answer}");
    }
    stream.predicts(&server).await;
    assert!(metric(&server, "perennial_ingest_commit_failures_total{reason=\"unavailable\"}").await >= 3);
    assert!(log_says(folder.path(), "the database file was moved or deleted"));

    std::fs::rename(&away, &data).expect("moved");
    assert_eq!(stream.post(&server, 20).await.0, 200, "it is back");
    stream.is_whole(&server).await;
    server.kill();
    let server = Process::start(&data);
    stream.is_whole(&server).await;
    assert_eq!(server.terminate(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_data_folder_that_is_deleted_gets_no_2xx_and_predictions_go_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let data = folder.path().join("data");
    let server = logged(&data, folder.path());
    let mut stream = Stream::start(&server).await;
    std::fs::remove_dir_all(&data).expect("deleted");
    for _ in 0..2 {
        for _ in 0..3 {
            assert_eq!(stream.post(&server, 20).await.0, 503);
        }
        stream.predicts(&server).await;
        // An empty folder in its place is not taken for the data.
        std::fs::create_dir_all(&data).expect("a folder");
    }
    assert!(!data.join("perennial.db").exists(), "no empty database is made");
    server.terminate();
}
