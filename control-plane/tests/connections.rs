//! Clients that connect and say nothing, or little: nobody else may notice them.

mod support;

use support::*;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use veltrix_control_plane::Config;

/// Beginnings of a conversation that do not make a request.
const BEGINNINGS: [&[u8]; 6] = [
    b"",
    b"G",
    b"GET /healthz HTTP/1.1\r\nhost: ",
    b"PRI * HTTP/2.0\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    // The preface, and empty settings.
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
];

async fn silent(control_plane: &ControlPlane, beginning: &[u8]) -> TcpStream {
    let mut stream = in_time("a connection", TcpStream::connect(control_plane.address)).await.unwrap();
    // It may have been closed already.
    stream.write_all(beginning).await.ok();
    stream
}

#[tokio::test]
async fn silent_connections_beyond_the_limit_keep_nobody_out_and_no_engine_loses_its_place() {
    let control_plane = ControlPlane::with(Config { connections: 8, ..Config::default() }).await;
    let mut engine = control_plane.engine("one").await;
    engine.welcome().await;
    let mut crowd = Vec::new();
    for round in 0..5 {
        for number in 0..20 {
            crowd.push(silent(&control_plane, BEGINNINGS[number % BEGINNINGS.len()]).await);
        }
        // Who is new is served though all places are taken, and the engine is there all the while.
        let mut operator = control_plane.operator().await;
        let update = operator.begin(update(&map(&round.to_string())));
        assert_eq!(engine.follow().await, round + 1);
        update.await.unwrap().unwrap();
        assert_eq!(operator.engines().await.engines.len(), 1);
    }
    // Those that came first made way.
    in_time("an end", crowd.swap_remove(0).read_to_end(&mut Vec::new())).await.ok();
    control_plane.stop().await;
}

#[tokio::test]
async fn a_connection_without_a_request_is_closed_within_seconds() {
    let control_plane = ControlPlane::start().await;
    let mut silents = Vec::new();
    for beginning in BEGINNINGS {
        silents.push(silent(&control_plane, beginning).await);
    }
    for silent in &mut silents {
        in_time("an end", silent.read_to_end(&mut Vec::new())).await.ok();
    }
    let mut asking = silent(&control_plane, b"GET /metrics HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n").await;
    let mut metrics = String::new();
    in_time("metrics", asking.read_to_string(&mut metrics)).await.unwrap();
    let closed =
        format!("veltrix_control_plane_connections_closed_total{{reason=\"no_request\"}} {}", BEGINNINGS.len());
    assert!(metrics.contains(&closed), "{metrics}");
    control_plane.stop().await;
}

#[tokio::test]
async fn when_every_connection_has_a_request_under_way_a_new_one_is_turned_away_and_none_is_lost() {
    let control_plane = ControlPlane::with(Config { connections: 2, ..Config::default() }).await;
    let (mut one, mut two) = (control_plane.engine("one").await, control_plane.engine("two").await);
    one.welcome().await;
    two.welcome().await;
    let mut third = silent(&control_plane, b"GET /healthz HTTP/1.1\r\nhost: test\r\n\r\n").await;
    let mut answer = Vec::new();
    in_time("an end", third.read_to_end(&mut answer)).await.ok();
    assert!(answer.is_empty(), "{}", String::from_utf8_lossy(&answer));
    // A place that became free is given again.
    drop(two);
    let served = async {
        loop {
            let request = b"GET /healthz HTTP/1.1\r\nhost: test\r\nconnection: close\r\n\r\n";
            let mut stream = silent(&control_plane, request).await;
            let mut answer = Vec::new();
            stream.read_to_end(&mut answer).await.ok();
            if answer.starts_with(b"HTTP/1.1 200") {
                return;
            }
        }
    };
    in_time("a free place", served).await;
    control_plane.stop().await;
    drop(one);
}
