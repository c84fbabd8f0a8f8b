//! What the database says of itself in the metrics.

use crate::metrics::Exposition;

use super::*;

#[tokio::test]
async fn what_is_written_and_what_is_not_is_counted() {
    let (recorder, exposition) = Exposition::for_test();
    let _recorded = metrics::set_default_local_recorder(&recorder);
    let check = |lines: [&str; 4]| {
        let text = exposition.render();
        for line in lines {
            assert!(text.lines().any(|got| got == line), "{line}\nis not in\n{text}");
        }
    };
    let place = Place::new();
    let (storage, _) = place.open();
    let two = Writes {
        presence: numbered([presence(1, 1), presence(2, 1)]),
        ..Writes::default()
    };
    store(&storage, two).await.unwrap();
    check([
        r#"presence_router_storage_commits_total{outcome="ok"} 1"#,
        "presence_router_storage_rows_total 2",
        "presence_router_storage_commit_duration_seconds_count 1",
        "presence_router_storage_waiting 0",
    ]);
    sql(&storage, "PRAGMA max_page_count = 1").await;
    let many = Writes {
        presence: numbered((0..200).map(|number| presence(number, 2))),
        ..Writes::default()
    };
    assert!(store(&storage, many).await.is_err());
    let text = exposition.render();
    assert!(text.contains(r#"presence_router_storage_commits_total{outcome="error"}"#));
    assert!(
        !text.contains(r#"presence_router_storage_commits_total{outcome="error"} 0"#),
        "{text}"
    );
    assert!(text.contains("presence_router_storage_waiting 200"), "{text}");
    storage.close().await.unwrap_err();
}
