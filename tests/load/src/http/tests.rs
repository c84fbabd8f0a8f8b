//! Answers whole and in pieces, and connections that are closed.

use std::net::Ipv4Addr;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

/// A server that takes one connection for each list, and answers each request on it with the next of its pieces.
async fn server(connections: Vec<Vec<&'static [&'static str]>>) -> Authority {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a port");
    let address = listener.local_addr().expect("an address");
    tokio::spawn(async move {
        for answers in connections {
            let (mut stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            for pieces in answers {
                let mut request = Vec::new();
                while !request.ends_with(b"\r\n\r\n") {
                    assert_ne!(stream.read_buf(&mut request).await.expect("a request"), 0);
                }
                for piece in pieces {
                    stream.write_all(piece.as_bytes()).await.expect("sent");
                    tokio::task::yield_now().await;
                }
            }
        }
    });
    Authority::of(&format!("http://{address}/")).expect("an address")
}

async fn ask(connection: &mut Connection) -> Result<(u16, String)> {
    let request = connection.authority.get("/x", "t");
    let answer = connection.exchange(&request).await?;
    Ok((answer.status, String::from_utf8_lossy(answer.body).into_owned()))
}

async fn check(answers: Vec<&'static [&'static str]>) -> Result<Vec<(u16, String)>> {
    let count = answers.len();
    let authority = server(vec![answers]).await;
    let mut connection = Connection::new(&authority, Buffers::Kept, PATIENCE);
    let mut taken = Vec::new();
    for _ in 0..count {
        taken.push(ask(&mut connection).await?);
    }
    assert_eq!(connection.opened(), 1);
    Ok(taken)
}

#[tokio::test]
async fn an_answer_ends_where_it_says() {
    let answers = check(vec![
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello"],
        &[
            "HTTP/1.1 404 No",
            "t Found\r\nX: y\r\ncontent-length",
            ": 3\r\n",
            "\r\na",
            "bc",
        ],
        &["HTTP/1.1 204 No Content\r\n\r\n"],
        &[
            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2;x=",
            "y\r\nde\r\n0\r",
            "\n\r\n",
        ],
        &["HTTP/1.1 200 OK\r\n\r\n", "all of it"],
    ]);
    let wanted = [
        (200, "hello"),
        (404, "abc"),
        (204, ""),
        (200, "abcde"),
        (200, "all of it"),
    ];
    let wanted = wanted.map(|(status, body)| (status, body.to_owned()));
    assert_eq!(answers.await.expect("answers"), wanted);
}

#[tokio::test]
async fn what_is_no_answer_is_an_error() {
    for wrong in [
        &["hello\r\n\r\n"][..],
        &["HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n"],
        &["HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n"],
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nx\r\n"],
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nabc\r\n"],
        &["HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\n"],
        // It ends here.
        &["HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhell"],
        &["HTTP/1.1 200 OK\r\nContent-"],
    ] {
        let taken = check(vec![wrong]).await;
        assert!(taken.is_err(), "{wrong:?}: {taken:?}");
    }
}

#[tokio::test]
async fn a_connection_that_was_closed_is_opened_again() {
    const ONE: &[&str] = &["HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n1"];
    const LAST: &[&str] = &["HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 1\r\n\r\n2"];
    let authority = server(vec![vec![ONE], vec![ONE, LAST], vec![ONE]]).await;
    let mut connection = Connection::new(&authority, Buffers::Released, PATIENCE);
    for (body, opened) in [("1", 1), ("1", 2), ("2", 2), ("1", 3)] {
        let taken = ask(&mut connection).await.expect("an answer");
        assert_eq!((taken.1.as_str(), connection.opened()), (body, opened));
    }
}

#[tokio::test(start_paused = true)]
async fn an_answer_that_does_not_come_is_waited_for_no_longer_than_said() {
    let authority = server(vec![vec![&["HTTP/1.1 200 OK\r\n"], &[]]]).await;
    let started = tokio::time::Instant::now();
    let mut connection = Connection::new(&authority, Buffers::Kept, Duration::from_secs(7));
    let error = ask(&mut connection).await.expect_err("no answer");
    assert_eq!(error.to_string(), "no answer within 7 s");
    assert_eq!(started.elapsed().as_secs(), 7);
}
