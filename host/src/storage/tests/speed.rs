//! Not a test: prints how fast the storage is, for the decision page. `docs/decisions/storage.md` has the command.

use std::time::Instant;

use super::*;

#[tokio::test]
#[ignore = "a measurement, which prints figures"]
async fn groups_of_rows() {
    let place = Place::new();
    let (storage, _) = place.open();
    for rows in [1, 16, 256] {
        let groups = 20_000 / rows;
        let began = Instant::now();
        for group in 0..groups {
            let user = |row| presence((group * rows + row) % 100_000, group + 1);
            let writes = Writes {
                presence: numbered((0..rows).map(user)),
                ..Writes::default()
            };
            store(&storage, writes).await.unwrap();
        }
        let a_second = u128::from(groups * rows) * 1_000_000 / began.elapsed().as_micros().max(1);
        println!("groups of {rows} rows, each waited for: {a_second} rows/s");
    }
    let writes = Writes {
        presence: numbered((0..100_000).map(|user| presence(user, user + 1))),
        routed: (0..200_000)
            .map(|row| route(if row % 2 == 0 { "a" } else { "b" }, row / 2, row + 1))
            .collect(),
        ..Writes::default()
    };
    let began = Instant::now();
    store(&storage, writes).await.unwrap();
    println!("one group of 300,000 rows: {:?}", began.elapsed());
    storage.close().await.unwrap();
    let began = Instant::now();
    let (storage, _) = place.open();
    println!(
        "start with 100,000 users and 200,000 routes: {:?}",
        began.elapsed()
    );
    storage.close().await.unwrap();
}
